import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createGzip } from 'node:zlib'
import { Type } from 'typebox'
import { NomalyError } from '../../errors.ts'
import { EXPORT_FORMATS, type ExportFormat } from '../../exporting/point-encoder.ts'
import { POINT_LIMITS } from '../../metrics/metrics-engine.ts'
import type { Store } from '../../store/store.ts'
import { exportPoints } from '../../workflows/export-points.ts'
import type { Api } from '../api.ts'
import { untilAbandoned } from '../plugins/abandonment.ts'
import { identityOf } from '../plugins/authentication.ts'
import { metricsFreshnessOf, repositoriesOf } from '../plugins/positions.ts'
import { DatasetParams, Instant, parseRange, problems } from '../schemas/shared.ts'

/** Exports under way at the same time: each holds some MB, and takes its share of the processor. */
const MAX_EXPORTS = 16
const MAX_EXPORTS_PER_TENANT = 4

const MEDIA_TYPES: Readonly<Record<ExportFormat, string>> = {
  csv: 'text/csv; charset=utf-8; header=present',
  ndjson: 'application/x-ndjson',
  parquet: 'application/vnd.apache.parquet',
}
const Bytes = { schema: Type.String({ format: 'binary' }) }

/** Points out as a file, however many there are. */
export function registerExportRoutes(app: Api, store: Store): void {
  const underWay = new Map<string, number>()

  app.get(
    '/v1/datasets/:dataset/export',
    {
      config: { permission: 'read' },
      // A HEAD would make the whole file to throw it away.
      exposeHeadRoute: false,
      schema: {
        tags: ['datasets'],
        summary: 'Export the points of a dataset',
        description:
          'All points of a range as CSV, NDJSON or Parquet, series after series; compressed where `Accept-Encoding` has gzip. When something goes wrong on the way the connection breaks: a response that ends is whole. CSV has a column `tags.NAME` for each tag, or, where series differ in their tags, one column `tags` with JSON. What CSV and NDJSON hold can be sent back as it is.',
        params: DatasetParams,
        querystring: Type.Object({
          format: Type.Optional(Type.Enum([...EXPORT_FORMATS], { default: 'csv' })),
          from: Type.Optional(Instant),
          to: Type.Optional(Instant),
          metric: Type.Optional(Type.String({ maxLength: 200, description: 'Only series of this metric' })),
        }),
        response: {
          200: {
            description: 'The points',
            content: {
              'text/csv': Bytes,
              'application/x-ndjson': Bytes,
              'application/vnd.apache.parquet': Bytes,
            },
          },
          ...problems,
        },
      },
    },
    async (request, reply) => {
      const { scope } = identityOf(request)
      const { format = 'csv', metric } = request.query
      const { fromMs, toMs } = parseRange(request.query)
      const range = { fromMs, toMs: request.query.to === undefined ? POINT_LIMITS.maxTimeMs + 1 : toMs }
      const freshness = await metricsFreshnessOf(request, store)
      const dataset = await repositoriesOf(request, store).datasets.get(request.params.dataset)
      const release = take(underWay, scope.tenantId)
      try {
        const signal = untilAbandoned(reply)
        const points = exportPoints(store, scope, dataset, { format, range, metric, freshness }, signal)
        // What fails up to here is answered with an error.
        const first = await points.next()
        reply.hijack()
        const isGzip = format !== 'parquet' && takesGzip(request.headers['accept-encoding'])
        reply.raw.writeHead(200, {
          ...(reply.getHeaders() as Record<string, string>),
          'content-type': MEDIA_TYPES[format],
          'content-disposition': `attachment; filename="${dataset.name}.${format}"`,
          'cache-control': 'no-store',
          vary: 'accept-encoding',
          ...(isGzip ? { 'content-encoding': 'gzip' } : {}),
        })
        const whole = Readable.from(startingWith(first, points), { objectMode: false })
        const compress = isGzip ? [createGzip({ level: constants.Z_BEST_SPEED })] : []
        await pipeline([whole, ...compress, reply.raw]).catch((error: unknown) => {
          // The connection is broken already: that is how the caller learns of it.
          request.log[signal.aborted ? 'debug' : 'warn']({ err: error }, 'an export broke off')
        })
      } finally {
        release()
      }
    },
  )
}

/** Takes one of the places; answers how to give it back. */
function take(underWay: Map<string, number>, tenantId: string): () => void {
  const ofTenant = underWay.get(tenantId) ?? 0
  const total = [...underWay.values()].reduce((sum, count) => sum + count, 0)
  if (total >= MAX_EXPORTS || ofTenant >= MAX_EXPORTS_PER_TENANT)
    throw new NomalyError('overloaded', 'Too many exports are under way.', {
      hint: 'Wait until one has ended.',
      retryAfterSeconds: 10,
    })
  underWay.set(tenantId, ofTenant + 1)
  return () => {
    const left = underWay.get(tenantId)! - 1
    if (left === 0) underWay.delete(tenantId)
    else underWay.set(tenantId, left)
  }
}

async function* startingWith(
  first: IteratorResult<Uint8Array, void>,
  rest: AsyncGenerator<Uint8Array, void, void>,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    if (first.done !== true) yield first.value
    yield* rest
  } finally {
    await rest.return()
  }
}

/** Whether a caller takes gzip (RFC 9110, 12.5.3). */
function takesGzip(accepted: string | string[] | undefined): boolean {
  const weights = new Map(
    String(accepted ?? '')
      .split(',')
      .map((part) => {
        const [coding = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase())
        const weight = parameters.find((text) => text.startsWith('q='))
        return [coding, weight === undefined ? 1 : Number(weight.slice(2))]
      }),
  )
  return (weights.get('gzip') ?? weights.get('x-gzip') ?? weights.get('*') ?? 0) > 0
}
