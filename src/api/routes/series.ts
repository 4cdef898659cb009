import { Type } from 'typebox'
import type { TenantScope } from '../../access/tenant-scope.ts'
import type { Freshness } from '../../database/position.ts'
import { invalidField, notFound } from '../../errors.ts'
import { MIN_CHART_POINTS } from '../../metrics/metric-query.ts'
import type { Series } from '../../metrics/metrics-engine.ts'
import type { Store } from '../../store/store.ts'
import { replayBand } from '../../workflows/replay-band.ts'
import type { Api } from '../api.ts'
import { untilAbandoned } from '../plugins/abandonment.ts'
import { identityOf } from '../plugins/authentication.ts'
import { freshnessOf, metricsFreshnessOf, repositoriesOf } from '../plugins/positions.ts'
import {
  DatasetParams,
  Instant,
  NullableTime,
  PageQuery,
  pageOf,
  parseRange,
  problems,
  SeriesParams,
  Tags,
  Time,
  Uuid,
} from '../schemas/shared.ts'
import { cursorKey, decodeCursor, encodeCursor } from '../../database/paging.ts'

const MAX_POINTS = 200_000
const MAX_CHART_POINTS = 20_000

const SeriesBody = Type.Object({
  id: Type.Integer(),
  metric: Type.String(),
  tags: Tags,
  datasetId: Type.String(),
  createdAt: Time,
  latestAt: NullableTime,
})
const Numbers = Type.Array(Type.Union([Type.Number(), Type.Null()]))
const RangeQuery = { from: Type.Optional(Instant), to: Type.Optional(Instant) }
const tags = ['series']

/** Series, and their points out: raw, and with the band that a detector expected. */
export function registerSeriesRoutes(app: Api, store: Store): void {
  app.get(
    '/v1/datasets/:dataset/series',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'List the series of a dataset',
        params: DatasetParams,
        querystring: Type.Object({
          ...PageQuery,
          metric: Type.Optional(Type.String({ maxLength: 200 })),
          tags: Type.Optional(
            Type.String({ maxLength: 20_000, description: 'JSON object: tags the series must carry' }),
          ),
        }),
        response: { 200: pageOf(SeriesBody), ...problems },
      },
    },
    async (request) => {
      const { scope } = identityOf(request)
      const { limit = 50, cursor, metric, tags: tagText } = request.query
      const { core, metrics } = freshnessOf(request, store)
      const dataset = await store.read(scope, core).datasets.get(request.params.dataset)
      const found = await store.metrics.listSeries(scope, {
        sourceId: dataset.id,
        freshness: metrics,
        limit: limit + 1,
        ...(metric === undefined ? {} : { metric }),
        ...(tagText === undefined ? {} : { tags: parseTags(tagText) }),
        ...(cursor === undefined ? {} : { afterId: decodeCursor(cursor, [cursorKey.integer])[0] }),
      })
      const items = found.slice(0, limit)
      return {
        items: items.map(presentSeries),
        nextCursor: found.length > limit ? encodeCursor([items.at(-1)!.id]) : null,
      }
    },
  )

  app.get(
    '/v1/series/:id',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'Show a series',
        params: SeriesParams,
        response: { 200: SeriesBody, ...problems },
      },
    },
    async (request) => {
      const { metrics } = freshnessOf(request, store)
      return presentSeries(await findSeries(store, identityOf(request).scope, request.params.id, metrics))
    },
  )

  app.get(
    '/v1/series/:id/points',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'Read raw points in columns',
        description:
          'Where there are more than `limit`, the newest are answered. NaN and infinities are texts. With `maxPoints` the whole range is answered: where it has more points than that, by the first, the last and the extremes in between, at their real times and without NaN and infinities, and `reduced` is true.',
        params: SeriesParams,
        querystring: Type.Object({
          ...RangeQuery,
          limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_POINTS, default: MAX_POINTS })),
          maxPoints: Type.Optional(Type.Integer({ minimum: MIN_CHART_POINTS, maximum: MAX_CHART_POINTS })),
        }),
        response: {
          200: Type.Object({
            seriesId: Type.Integer(),
            timesMs: Type.Array(Type.Number()),
            values: Type.Array(Type.Union([Type.Number(), Type.String()])),
            truncated: Type.Boolean(),
            reduced: Type.Optional(Type.Boolean()),
          }),
          ...problems,
        },
      },
    },
    async (request, reply) => {
      const { scope } = identityOf(request)
      const freshness = await metricsFreshnessOf(request, store)
      const series = await findSeries(store, scope, request.params.id, freshnessOf(request, store).metrics)
      const { limit = MAX_POINTS, maxPoints } = request.query
      if (maxPoints !== undefined) {
        const { isReduced, timesMs, values } = await store.metrics.chart(
          scope,
          series.id,
          parseRange(request.query),
          maxPoints,
          untilAbandoned(reply),
          freshness,
        )
        return reply
          .type('application/json')
          .serializer((payload: unknown) => JSON.stringify(payload))
          .send({
            seriesId: series.id,
            timesMs: Array.from(timesMs),
            values: Array.from(values, presentValue),
            truncated: false,
            reduced: isReduced,
          })
      }
      const tail = await store.metrics.tail(
        scope,
        series.id,
        parseRange(request.query),
        limit + 1,
        untilAbandoned(reply),
        freshness,
      )
      const skip = Math.max(0, tail.timesMs.length - limit)
      // Two hundred thousand numbers: the plain serializer is the fast one.
      return reply
        .type('application/json')
        .serializer((payload: unknown) => JSON.stringify(payload))
        .send({
          seriesId: series.id,
          timesMs: Array.from(tail.timesMs.subarray(skip)),
          values: Array.from(tail.values.subarray(skip), presentValue),
          truncated: skip > 0,
        })
    },
  )

  app.get(
    '/v1/series/:id/band',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'What a job expected of a series',
        description: 'Null where the detector was still learning.',
        params: SeriesParams,
        querystring: Type.Object({ ...RangeQuery, jobId: Uuid }),
        response: {
          200: Type.Object({
            seriesId: Type.Integer(),
            jobId: Type.String(),
            detector: Type.Union([
              Type.Object({ algorithm: Type.String(), reason: Type.String() }),
              Type.Null(),
            ]),
            timesMs: Type.Array(Type.Number()),
            expected: Numbers,
            lower: Numbers,
            upper: Numbers,
          }),
          ...problems,
        },
      },
    },
    async (request, reply) => {
      const { scope } = identityOf(request)
      const freshness = await metricsFreshnessOf(request, store)
      const series = await findSeries(store, scope, request.params.id, freshnessOf(request, store).metrics)
      const job = await repositoriesOf(request, store).jobs.get(request.query.jobId)
      const band = await replayBand(
        store,
        scope,
        job,
        series.id,
        parseRange(request.query),
        MAX_POINTS,
        untilAbandoned(reply),
        freshness,
      )
      return reply
        .type('application/json')
        .serializer((payload: unknown) => JSON.stringify(payload))
        .send({ seriesId: series.id, jobId: job.id, ...band })
    },
  )
}

/** @throws NomalyError `not_found`, for ids of other tenants too. */
export async function findSeries(
  store: Store,
  scope: TenantScope,
  id: number,
  freshness: Freshness,
): Promise<Series> {
  const [series] = await store.metrics.listSeries(scope, { ids: [id], limit: 1, freshness })
  if (series === undefined) throw notFound('series', String(id))
  return series
}

function parseTags(text: string): Record<string, string> {
  try {
    const value: unknown = JSON.parse(text)
    const isTags =
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      Object.entries(value).every(
        ([key, item]) => typeof item === 'string' && !`${key}${item}`.includes('\0'),
      )
    if (isTags) return value as Record<string, string>
  } catch {
    // Refused below.
  }
  throw invalidField('tags', 'must be a JSON object of texts, such as {"host":"web-1"}')
}

function presentSeries(series: Series): {
  id: number
  metric: string
  tags: Record<string, string>
  datasetId: string
  createdAt: string
  latestAt: string | null
} {
  return {
    id: series.id,
    metric: series.metric,
    tags: { ...series.tags },
    datasetId: series.source.id,
    createdAt: series.createdAt.toISOString(),
    latestAt: series.latestMs === undefined ? null : new Date(series.latestMs).toISOString(),
  }
}

function presentValue(value: number): number | string {
  return Number.isFinite(value) ? value : String(value)
}
