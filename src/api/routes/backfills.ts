import { createHash } from 'node:crypto'
import { Type } from 'typebox'
import type { Committed, Position } from '../../database/position.ts'
import type { Backfill } from '../../metrics/backfill.ts'
import type { Store } from '../../store/store.ts'
import type { UnitOfWork } from '../../store/unit-of-work.ts'
import {
  backfillOf,
  cancelBackfill,
  finishBackfill,
  noteBackfill,
  openBackfill,
} from '../../workflows/manage-backfills.ts'
import type { Api } from '../api.ts'
import { untilAbandoned } from '../plugins/abandonment.ts'
import { identityOf } from '../plugins/authentication.ts'
import { idempotently } from '../plugins/idempotency.ts'
import { replyPosition, repositoriesOf } from '../plugins/positions.ts'
import {
  DatasetParams,
  NullableTime,
  PageQuery,
  pageOf,
  pageRequest,
  problems,
  Time,
  Uuid,
} from '../schemas/shared.ts'
import { consumes, type PointLimits, readPointBody, Rejected } from './points.ts'

/** Parts of one backfill: at the size that the command line sends, ten billion points. */
const MAX_PARTS = 100_000

const BackfillParams = Type.Object({ ...DatasetParams.properties, backfill: Uuid })
const PartParams = Type.Object({
  ...BackfillParams.properties,
  part: Type.Integer({ minimum: 1, maximum: MAX_PARTS, description: 'Number of the part, from 1' }),
})
const Count = Type.Object({
  done: Type.Integer(),
  total: Type.Union([Type.Integer(), Type.Null()], { description: 'null while it is not known' }),
})
const BackfillBody = Type.Object({
  id: Type.String(),
  datasetId: Type.String(),
  status: Type.Enum(['receiving', 'merging', 'completed', 'failed', 'cancelled']),
  parts: Count,
  points: Type.Integer({ description: 'Received and not refused' }),
  rejectedTotal: Type.Integer(),
  windows: Count,
  inserted: Type.Integer(),
  duplicates: Type.Integer({ description: 'Were there already, or in the backfill before' }),
  conflicting: Type.Integer({ description: 'Another value stands at that instant, and stays' }),
  expired: Type.Integer({ description: 'Became too old to be kept while they waited' }),
  error: Type.Union([
    Type.Object({ message: Type.String(), hint: Type.Union([Type.String(), Type.Null()]) }),
    Type.Null(),
  ]),
  createdAt: Time,
  endedAt: NullableTime,
})
const PartBody = Type.Object({
  number: Type.Integer(),
  digest: Type.String({ description: 'SHA-256 of its bytes before compression, in hexadecimal' }),
  points: Type.Integer({ description: 'Received and not refused' }),
  rejected: Rejected.rejected,
  rejectedTotal: Rejected.rejectedTotal,
})
const tags = ['backfills']

/** Old points by the million: what is made of them, but not their parts. */
export function registerBackfillRoutes(app: Api, store: Store): void {
  app.get(
    '/v1/datasets/:dataset/backfills',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'List the backfills of a dataset, newest first',
        params: DatasetParams,
        querystring: Type.Object(PageQuery),
        response: { 200: pageOf(BackfillBody), ...problems },
      },
    },
    async (request) => {
      const { scope } = identityOf(request)
      const dataset = await repositoriesOf(request, store).datasets.get(request.params.dataset)
      const page = await store.backfills.list(scope, dataset.id, pageRequest(request.query))
      return { items: page.items.map(present), nextCursor: page.nextCursor }
    },
  )

  app.post(
    '/v1/datasets/:dataset/backfills',
    {
      config: { permission: 'write' },
      schema: {
        tags,
        summary: 'Begin a backfill',
        description:
          'Old points by the million: send them in numbered parts, in any order and several at once, then finish it. A worker sorts them, leaves out what is there twice, and puts them into the dataset from the oldest on. Points appear as it goes.',
        params: DatasetParams,
        response: { 201: BackfillBody, ...problems },
      },
    },
    async (request, reply) => {
      const identity = identityOf(request)
      const { scope } = identity
      // In the database of the metrics, before it is noted in the core: repeated under a key it is opened once.
      const prepare = async (id: string): Promise<Committed<Backfill>> => {
        const dataset = await store.read(scope, 'latest').datasets.get(request.params.dataset)
        return openBackfill(store, scope, dataset, id)
      }
      let written: Position | undefined
      const work = async (unit: UnitOfWork, { value, position }: Committed<Backfill>) => {
        await noteBackfill(unit, identity, value)
        written = position
        return present(value)
      }
      const body = await idempotently(store, request, reply.code(201), work, { prepare })
      if (written !== undefined) replyPosition(reply, written)
      return body
    },
  )

  app.get(
    '/v1/datasets/:dataset/backfills/:backfill',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'Show a backfill and how far it is',
        params: BackfillParams,
        response: { 200: BackfillBody, ...problems },
      },
    },
    async (request) => {
      const { scope } = identityOf(request)
      const { dataset, backfill } = request.params
      const found = await repositoriesOf(request, store).datasets.get(dataset)
      return present(await backfillOf(store, scope, found, backfill))
    },
  )

  app.delete(
    '/v1/datasets/:dataset/backfills/:backfill',
    {
      config: { permission: 'write' },
      schema: {
        tags,
        summary: 'Cancel a backfill',
        description: 'What is in the dataset already stays.',
        params: BackfillParams,
        response: { 204: Type.Null(), ...problems },
      },
    },
    async (request, reply) => {
      const identity = identityOf(request)
      const dataset = await store.read(identity.scope, 'latest').datasets.get(request.params.dataset)
      const { id } = await backfillOf(store, identity.scope, dataset, request.params.backfill)
      const { position } = await cancelBackfill(store, identity, id)
      replyPosition(reply, position)
      return reply.code(204).send(null)
    },
  )

  app.get(
    '/v1/datasets/:dataset/backfills/:backfill/parts',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'List the parts that have come, by number',
        params: BackfillParams,
        querystring: Type.Object(PageQuery),
        response: { 200: pageOf(PartBody), ...problems },
      },
    },
    async (request) => {
      const { scope } = identityOf(request)
      const dataset = await repositoriesOf(request, store).datasets.get(request.params.dataset)
      const { id } = await backfillOf(store, scope, dataset, request.params.backfill)
      const page = await store.backfills.parts(scope, id, pageRequest(request.query))
      return {
        items: page.items.map((part) => ({ ...part, rejected: [...part.rejected] })),
        nextCursor: page.nextCursor,
      }
    },
  )

  app.post(
    '/v1/datasets/:dataset/backfills/:backfill/finish',
    {
      config: { permission: 'write' },
      schema: {
        tags,
        summary: 'Say that all parts have come',
        description: 'A worker goes on from here. One that has failed is tried again.',
        params: BackfillParams,
        body: Type.Object(
          {
            parts: Type.Integer({ minimum: 0, maximum: MAX_PARTS, description: 'How many parts there are' }),
          },
          { additionalProperties: false },
        ),
        response: { 200: BackfillBody, ...problems },
      },
    },
    async (request, reply) => {
      const identity = identityOf(request)
      const dataset = await store.read(identity.scope, 'latest').datasets.get(request.params.dataset)
      const { id } = await backfillOf(store, identity.scope, dataset, request.params.backfill)
      const { value, position } = await finishBackfill(store, identity, id, request.body.parts)
      replyPosition(reply, position)
      return present(value)
    },
  )
}

/** The parts, whose bodies are points. */
export function registerBackfillPartRoutes(app: Api, store: Store, limits: PointLimits): void {
  app.put(
    '/v1/datasets/:dataset/backfills/:backfill/parts/:part',
    {
      config: { permission: 'write' },
      schema: {
        tags,
        summary: 'Send a part of a backfill',
        description:
          'NDJSON lines, JSON or CSV, plain or gzip, at most a million points. Sending it again as it was does no harm, and answers the same. Of several points at one instant that of the lowest part stays.',
        consumes,
        params: PartParams,
        response: { 200: Type.Object({ ...PartBody.properties, columns: Rejected.columns }), ...problems },
      },
    },
    async (request, reply) => {
      const { scope } = identityOf(request)
      const dataset = await store.read(scope, 'latest').datasets.get(request.params.dataset)
      const { id } = await backfillOf(store, scope, dataset, request.params.backfill)
      const hash = createHash('sha256')
      const { columns, ...points } = await readPointBody(request, {
        ...limits,
        onBytes: (bytes) => hash.update(bytes),
      })
      const part = { number: request.params.part, digest: hash.digest(), ...points }
      const { value, position } = await store.backfills.receive(scope, id, part, untilAbandoned(reply))
      replyPosition(reply, position)
      return {
        ...value,
        rejected: [...value.rejected],
        ...(columns === undefined ? {} : { columns }),
      }
    },
  )
}

function present(backfill: Backfill): Type.Static<typeof BackfillBody> {
  const { id, status, points, rejectedTotal, inserted, duplicates, conflicting, expired, error } = backfill
  return {
    id,
    datasetId: backfill.source.id,
    status,
    parts: { done: backfill.partsReceived, total: backfill.partsTotal ?? null },
    points,
    rejectedTotal,
    windows: { done: backfill.windowsDone, total: backfill.windowsTotal ?? null },
    inserted,
    duplicates,
    conflicting,
    expired,
    error: error === undefined ? null : { message: error.message, hint: error.hint ?? null },
    createdAt: backfill.createdAt.toISOString(),
    endedAt: backfill.endedAt?.toISOString() ?? null,
  }
}
