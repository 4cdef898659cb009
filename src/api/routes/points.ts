import type { Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import type { Counter } from 'prom-client'
import { Type } from 'typebox'
import { NomalyError } from '../../errors.ts'
import type { PointFormat } from '../../ingestion/parsed-points.ts'
import type { Store } from '../../store/store.ts'
import { appendPoints, correctPoints } from '../../workflows/append-points.ts'
import { type ReadPoints, readPoints } from '../../workflows/read-points.ts'
import type { Api } from '../api.ts'
import { untilAbandoned } from '../plugins/abandonment.ts'
import { identityOf } from '../plugins/authentication.ts'
import { replyPosition } from '../plugins/positions.ts'
import { DatasetParams, problems } from '../schemas/shared.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Gives back the place among the bodies that are read at once. */
    pointSlot: (() => void) | undefined
  }
}

export interface PointLimits {
  readonly maxBodyBytes: number
  readonly maxSeriesPerRequest: number
}

/** Points in one request: they are stored in one transaction. */
const MAX_POINTS = 1_000_000

/** Bodies that are read at the same time. */
const MAX_BODIES = 32

const FORMATS: Readonly<Record<string, PointFormat>> = {
  'application/x-ndjson': 'ndjson',
  'application/ndjson': 'ndjson',
  'application/jsonl': 'ndjson',
  'application/json': 'json',
  'text/csv': 'csv',
}

const Rejected = {
  rejected: Type.Array(Type.Object({ line: Type.Integer(), reason: Type.String() })),
  rejectedTotal: Type.Integer(),
  columns: Type.Optional(Type.Unknown({ description: 'CSV only: how each column was understood, and why' })),
}
const consumes = Object.keys(FORMATS)
const tags = ['points']

/** Points in: whatever the format, all of a request is stored or nothing. */
export function registerPointRoutes(app: Api, store: Store, limits: PointLimits, inserted: Counter): void {
  app.post(
    '/v1/datasets/:dataset/points',
    {
      config: { permission: 'write' },
      schema: {
        tags,
        summary: 'Add points',
        description:
          'NDJSON lines, JSON or CSV, plain or gzip. The first write of an instant wins, so repeating a request does no harm.',
        consumes,
        params: DatasetParams,
        response: {
          200: Type.Object({
            inserted: Type.Integer(),
            duplicates: Type.Integer({ description: 'Were there already' }),
            conflicting: Type.Integer({ description: 'Another value stands at that instant, and stays' }),
            ...Rejected,
          }),
          ...problems,
        },
      },
    },
    async (request, reply) => {
      const { scope } = identityOf(request)
      const dataset = await store.read(scope, 'latest').datasets.get(request.params.dataset)
      const points = await readPointBody(request, limits)
      const { value, position } = await appendPoints(store, scope, dataset, points, untilAbandoned(reply))
      inserted.inc(value.inserted)
      replyPosition(reply, position)
      return {
        ...value,
        rejected: [...value.rejected],
        ...(points.columns === undefined ? {} : { columns: points.columns }),
      }
    },
  )

  app.post(
    '/v1/datasets/:dataset/corrections',
    {
      config: { permission: 'write' },
      schema: {
        tags,
        summary: 'Overwrite points',
        description: 'The same formats; a value at an instant that exists replaces what is there.',
        consumes,
        params: DatasetParams,
        response: {
          200: Type.Object({
            changed: Type.Integer(),
            inserted: Type.Integer(),
            unchanged: Type.Integer(),
            ...Rejected,
          }),
          ...problems,
        },
      },
    },
    async (request, reply) => {
      const { scope } = identityOf(request)
      const dataset = await store.read(scope, 'latest').datasets.get(request.params.dataset)
      const points = await readPointBody(request, limits)
      const { value, position } = await correctPoints(store, scope, dataset, points, untilAbandoned(reply))
      replyPosition(reply, position)
      return {
        ...value,
        rejected: [...value.rejected],
        ...(points.columns === undefined ? {} : { columns: points.columns }),
      }
    },
  )
}

/** In this scope a body is a stream, read by {@link readPointBody} as it comes; so many at once, since each is held whole in memory. */
export function acceptPointFormats(app: Api): void {
  let underWay = 0
  app.addHook('onRequest', async (request) => {
    underWay += 1
    // Also where the connection breaks before an answer.
    request.raw.socket.once('close', release)
    request.pointSlot = release
    function release(): void {
      if (request.pointSlot === undefined) return
      request.pointSlot = undefined
      request.raw.socket.off('close', release)
      underWay -= 1
    }
    if (underWay > MAX_BODIES)
      throw new NomalyError('overloaded', 'Too many requests with points are under way.', {
        hint: 'Send fewer at once, or larger ones.',
        retryAfterSeconds: 1,
      })
  })
  app.addHook('onResponse', async (request) => request.pointSlot?.())
  app.removeAllContentTypeParsers()
  for (const type of consumes)
    app.addContentTypeParser(type, (_request, payload, done) => done(null, payload))
}

/** All points of a request's body. @throws NomalyError as {@link readPoints}, or for a missing body or an unknown encoding. */
export async function readPointBody(
  request: FastifyRequest,
  limits: PointLimits & { readonly maxPoints?: number },
): Promise<ReadPoints> {
  const type = (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase()
  const format = FORMATS[type]
  if (format === undefined || request.body === undefined || request.body === null)
    throw new NomalyError('unsupported_media_type', 'The request has no points.', {
      problems: [{ field: 'content-type', reason: `must be one of ${consumes.join(', ')}, with a body` }],
    })
  const encoding = request.headers['content-encoding'] ?? 'identity'
  if (encoding !== 'gzip' && encoding !== 'identity')
    throw new NomalyError(
      'unsupported_media_type',
      `The content encoding ${encoding.slice(0, 40)} is not known.`,
      {
        problems: [{ field: 'content-encoding', reason: 'must be gzip or identity' }],
      },
    )
  return readPoints(format, wholeBody(request.body as Readable), {
    encoding,
    maxBytes: limits.maxBodyBytes,
    maxPoints: limits.maxPoints ?? MAX_POINTS,
    maxSeries: limits.maxSeriesPerRequest,
  })
}

/**
 * The bytes of a body. Where a reader stops early the rest is still taken off the wire: otherwise the next request on this
 * connection would never be read.
 */
async function* wholeBody(body: Readable): AsyncGenerator<Uint8Array> {
  try {
    yield* body.iterator({ destroyOnReturn: false })
  } catch (error) {
    if (!body.destroyed) throw error
    throw new NomalyError('invalid_input', 'The request broke off before its body was whole.', {
      problems: [{ field: 'body', reason: 'ends too early' }],
      cause: error,
    })
  } finally {
    body.resume()
  }
}
