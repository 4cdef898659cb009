import type { Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import { Gauge, type Registry } from 'prom-client'
import { Type } from 'typebox'
import type { Dataset } from '../../datasets/dataset.ts'
import { NomalyError } from '../../errors.ts'
import type { TenantScope } from '../../access/tenant-scope.ts'
import type { Config } from '../../config/profiles.ts'
import { ByteBudget, type ByteLease } from '../../ingestion/byte-budget.ts'
import type { PointFormat } from '../../ingestion/parsed-points.ts'
import type { Store } from '../../store/store.ts'
import type { ProcessMetrics } from '../../telemetry/process-metrics.ts'
import { AppendBuffer } from '../../workflows/append-buffer.ts'
import { appendPoints, correctPoints } from '../../workflows/append-points.ts'
import { type ReadPoints, readPoints, type ReadPointsOptions } from '../../workflows/read-points.ts'
import { SharedLookUp } from '../../workflows/shared-look-up.ts'
import type { Api } from '../api.ts'
import { untilAbandoned } from '../plugins/abandonment.ts'
import { identityOf } from '../plugins/authentication.ts'
import { replyPosition } from '../plugins/positions.ts'
import { DatasetParams, problems } from '../schemas/shared.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** What it holds of the bytes that requests with points share. */
    pointLease: ByteLease | undefined
    /** Gives that back, and its place. */
    releasePoints: (() => void) | undefined
  }
}

export type PointLimits = Pick<
  Config,
  'maxBodyBytes' | 'maxSeriesPerRequest' | 'maxIngestBytes' | 'maxWaitingPoints' | 'acquireTimeoutMs'
>

/** Points in one request: they are stored in one transaction. */
const MAX_POINTS = 1_000_000

/** Requests with points at the same time, read or waiting for their commit. */
const MAX_REQUESTS = 1000

/** What each is counted as at least: its socket and its stream have buffers. */
const MIN_REQUEST_BYTES = 16_384

const FORMATS: Readonly<Record<string, PointFormat>> = {
  'application/x-ndjson': 'ndjson',
  'application/ndjson': 'ndjson',
  'application/jsonl': 'ndjson',
  'application/json': 'json',
  'text/csv': 'csv',
}

/** Of the lines of a body, those that were refused. */
export const Rejected = {
  rejected: Type.Array(Type.Object({ line: Type.Integer(), reason: Type.String() })),
  rejectedTotal: Type.Integer(),
  columns: Type.Optional(Type.Unknown({ description: 'CSV only: how each column was understood, and why' })),
}
/** The media types of points. */
export const consumes = Object.keys(FORMATS)
const tags = ['points']

/** Points in: whatever the format, all of a request is stored or nothing. */
export function registerPointRoutes(
  app: Api,
  store: Store,
  limits: PointLimits,
  { registry, pointsInserted }: ProcessMetrics,
): void {
  const buffer = new AppendBuffer({ engine: store.metrics, maxWaitingPoints: limits.maxWaitingPoints })
  observe(
    registry,
    'nomaly_ingest_waiting_points',
    'Points that wait for their batch',
    () => buffer.waitingPoints,
  )
  app.addHook('onClose', () => buffer[Symbol.asyncDispose]())
  const lookUp = new SharedLookUp<Dataset>()
  const findDataset = (scope: TenantScope, idOrName: string): Promise<Dataset> =>
    lookUp.ask(`${scope.tenantId} ${idOrName}`, () => store.read(scope, 'latest').datasets.get(idOrName))
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
      const dataset = await findDataset(scope, request.params.dataset)
      const points = await readPointBody(request, limits)
      const signal = untilAbandoned(reply)
      const { value, position } = await appendPoints(store, scope, dataset, points, signal, buffer)
      pointsInserted.inc(value.inserted)
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

/**
 * In this scope a body is a stream, read by {@link readPointBody} as it comes. All that are under way hold a bounded number of bytes
 * together: beyond it they are left on the wire.
 */
export function acceptPointFormats(app: Api, limits: PointLimits, { registry }: ProcessMetrics): void {
  const budget = new ByteBudget({
    // A live setting: asked anew each time.
    get maxBytes() {
      return limits.maxIngestBytes
    },
    maxWaitMs: limits.acquireTimeoutMs,
  })
  observe(
    registry,
    'nomaly_ingest_held_bytes',
    'What requests with points hold of NOMALY_MAX_INGEST_BYTES',
    () => budget.heldBytes,
  )
  let underWay = 0
  app.addHook('onRequest', async (request) => {
    if (underWay >= MAX_REQUESTS)
      throw new NomalyError('overloaded', 'Too many requests with points are under way.', {
        hint: 'Send fewer at once, or larger ones.',
        retryAfterSeconds: 1,
      })
    underWay += 1
    const lease = budget.lease()
    request.pointLease = lease
    // Also where the connection breaks before an answer.
    request.raw.socket.once('close', release)
    request.releasePoints = release
    function release(): void {
      if (request.pointLease === undefined) return
      request.pointLease = undefined
      request.raw.socket.off('close', release)
      underWay -= 1
      lease[Symbol.dispose]()
    }
  })
  app.addHook('onResponse', async (request) => request.releasePoints?.())
  app.removeAllContentTypeParsers()
  for (const type of consumes)
    app.addContentTypeParser(type, (_request, payload, done) => done(null, payload))
}

function observe(registry: Registry, name: string, help: string, value: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(value())
    },
  })
}

/** All points of a request's body. @throws NomalyError as {@link readPoints}, or for a missing body or an unknown encoding. */
export async function readPointBody(
  request: FastifyRequest,
  limits: PointLimits & Partial<Pick<ReadPointsOptions, 'maxPoints' | 'onBytes'>>,
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
  const lease = request.pointLease
  return readPoints(format, wholeBody(request.body as Readable), {
    hold: (bytes) => lease?.hold(MIN_REQUEST_BYTES + bytes),
    encoding,
    maxBytes: limits.maxBodyBytes,
    maxPoints: limits.maxPoints ?? MAX_POINTS,
    maxSeries: limits.maxSeriesPerRequest,
    ...(limits.onBytes === undefined ? {} : { onBytes: limits.onBytes }),
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
