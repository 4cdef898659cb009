import { Type } from 'typebox'
import type { Freshness } from '../../database/position.ts'
import { DATASET_NAME, type Dataset } from '../../datasets/dataset.ts'
import type { TenantScope } from '../../access/tenant-scope.ts'
import type { SourceSummary } from '../../metrics/metrics-engine.ts'
import { ALL_POINTS, POINTS_TTL_SECONDS, pointsTag } from '../../store/point-tags.ts'
import type { Store } from '../../store/store.ts'
import type { Api } from '../api.ts'
import { identityOf } from '../plugins/authentication.ts'
import { idempotently } from '../plugins/idempotency.ts'
import { freshnessOf, replyPosition } from '../plugins/positions.ts'
import {
  DatasetParams,
  NullableTime,
  PageQuery,
  pageOf,
  pageRequest,
  problems,
  Time,
} from '../schemas/shared.ts'

const DatasetName = Type.String({
  pattern: DATASET_NAME.source,
  description:
    '1 to 100 letters, digits, dots, dashes and underscores, starting with a letter or digit; not a UUID',
})
const Retention = Type.Enum(['forever', 'year', 'month', 'week'], { description: 'How long points are kept' })
const DatasetBody = Type.Object({
  id: Type.String(),
  name: Type.String(),
  description: Type.String(),
  retention: Retention,
  createdAt: Time,
  seriesCount: Type.Integer(),
  latestAt: NullableTime,
})
const Summaries = Type.Record(
  Type.String(),
  Type.Object({ count: Type.Integer(), latestMs: Type.Union([Type.Number(), Type.Null()]) }),
)
const tags = ['datasets']

/** Sources of metric series. */
export function registerDatasetRoutes(app: Api, store: Store): void {
  app.get(
    '/v1/datasets',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'List datasets by name',
        querystring: Type.Object(PageQuery),
        response: { 200: pageOf(DatasetBody), ...problems },
      },
    },
    async (request) => {
      const { scope } = identityOf(request)
      const { core, metrics } = freshnessOf(request, store)
      const page = await store.read(scope, core).datasets.list(pageRequest(request.query))
      return { items: await presentAll(store, scope, page.items, metrics), nextCursor: page.nextCursor }
    },
  )

  app.post(
    '/v1/datasets',
    {
      config: { permission: 'write' },
      schema: {
        tags,
        summary: 'Make a dataset',
        body: Type.Object(
          {
            name: DatasetName,
            description: Type.Optional(Type.String({ maxLength: 2000 })),
            retention: Type.Optional(Retention),
          },
          { additionalProperties: false },
        ),
        response: { 201: DatasetBody, ...problems },
      },
    },
    async (request, reply) => {
      const { actor } = identityOf(request)
      return idempotently(store, request, reply.code(201), async (unit) => {
        const dataset = await unit.datasets.create(request.body)
        await unit.audit.record(
          actor,
          'dataset.create',
          { kind: 'dataset', id: dataset.id },
          { name: dataset.name },
        )
        await unit.outbox.add('dataset', { id: dataset.id, change: 'created' })
        // Nothing is asked of the metrics: what is stored must not look as if it had failed because these are away.
        return presentOne(dataset, undefined)
      })
    },
  )

  app.get(
    '/v1/datasets/:dataset',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'Show a dataset',
        params: DatasetParams,
        response: { 200: DatasetBody, ...problems },
      },
    },
    async (request) => {
      const { scope } = identityOf(request)
      const { core, metrics } = freshnessOf(request, store)
      const dataset = await store.read(scope, core).datasets.get(request.params.dataset)
      const [presented] = await presentAll(store, scope, [dataset], metrics)
      return presented!
    },
  )

  app.patch(
    '/v1/datasets/:dataset',
    {
      config: { permission: 'write' },
      schema: {
        tags,
        summary: 'Rename or describe a dataset',
        params: DatasetParams,
        body: Type.Object(
          { name: Type.Optional(DatasetName), description: Type.Optional(Type.String({ maxLength: 2000 })) },
          { additionalProperties: false, minProperties: 1 },
        ),
        response: { 200: DatasetBody, ...problems },
      },
    },
    async (request, reply) => {
      const { scope, actor } = identityOf(request)
      const { id } = await store.read(scope, 'latest').datasets.get(request.params.dataset)
      // First: a change that was stored must not look as if it had failed because the metrics are away.
      const summaries = await readSummaries(store, scope, [id], 'latest')
      const { value, position } = await store.transaction(scope, async (unit) => {
        const dataset = await unit.datasets.update(id, request.body)
        await unit.audit.record(actor, 'dataset.update', { kind: 'dataset', id }, request.body)
        await unit.outbox.add('dataset', { id, change: 'updated' })
        return dataset
      })
      replyPosition(reply, position)
      return presentOne(value, summaries.get(id))
    },
  )

  app.delete(
    '/v1/datasets/:dataset',
    {
      config: { permission: 'write' },
      schema: {
        tags,
        summary: 'Delete a dataset with its points, jobs and anomalies',
        params: DatasetParams,
        response: { 204: Type.Null(), ...problems },
      },
    },
    async (request, reply) => {
      const { scope, actor } = identityOf(request)
      const { position } = await store.transaction(scope, async (unit) => {
        const dataset = await unit.datasets.get(request.params.dataset)
        await unit.datasets.remove(dataset.id)
        await unit.audit.record(
          actor,
          'dataset.delete',
          { kind: 'dataset', id: dataset.id },
          { name: dataset.name },
        )
        await unit.outbox.add('dataset', { id: dataset.id, change: 'deleted' })
        // Points are removed by a task: no more can come, since a write asks whether its dataset is there.
        await unit.queue.send('drop-source', { tenantId: scope.tenantId, sourceId: dataset.id }, dataset.id)
      })
      replyPosition(reply, position)
      return reply.code(204).send(null)
    },
  )
}

interface PresentedDataset {
  id: string
  name: string
  description: string
  retention: Dataset['retention']
  createdAt: string
  seriesCount: number
  latestAt: string | null
}

async function presentAll(
  store: Store,
  scope: TenantScope,
  datasets: readonly Dataset[],
  freshness: Freshness,
): Promise<PresentedDataset[]> {
  const summaries = await readSummaries(
    store,
    scope,
    datasets.map(({ id }) => id),
    freshness,
  )
  return datasets.map((dataset) => presentOne(dataset, summaries.get(dataset.id)))
}

/** What is in datasets, counted once until their points change. */
async function readSummaries(
  store: Store,
  scope: TenantScope,
  ids: readonly string[],
  freshness: Freshness,
): Promise<Map<string, SourceSummary>> {
  if (ids.length === 0) return new Map()
  const summaries = await store.cache.read(scope, {
    key: `summaries 1 ${ids.join(' ')}`,
    tags: [ALL_POINTS, ...ids.map(pointsTag)],
    schema: Summaries,
    freshness,
    ttlSeconds: POINTS_TTL_SECONDS,
    load: async (newEnough) =>
      Object.fromEntries(
        [...(await store.metrics.summaries(scope, ids, newEnough))].map(
          ([id, { count, latestMs = null }]) => [id, { count, latestMs }],
        ),
      ),
  })
  return new Map(
    Object.entries(summaries ?? {}).map(([id, { count, latestMs }]) => [
      id,
      { count, latestMs: latestMs ?? undefined },
    ]),
  )
}

function presentOne(
  { id, name, description, retention, createdAt }: Dataset,
  { count, latestMs }: SourceSummary = { count: 0, latestMs: undefined },
): PresentedDataset {
  return {
    id,
    name,
    description,
    retention,
    createdAt: createdAt.toISOString(),
    seriesCount: count,
    latestAt: latestMs === undefined ? null : new Date(latestMs).toISOString(),
  }
}
