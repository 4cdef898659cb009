import type { Readable } from 'node:stream'
import { Type } from 'typebox'
import type { Config } from '../../config/profiles.ts'
import { surveyPoints } from '../../ingestion/survey-points.ts'
import type { Store } from '../../store/store.ts'
import { estimateDataset, freeDiskBytes } from '../../workflows/estimate-dataset.ts'
import type { Api } from '../api.ts'
import { problems } from '../schemas/shared.ts'
import { readPointBody } from './points.ts'

const Bytes = Type.Integer({ description: 'bytes' })
const Disk = Type.Object({
  points: Bytes,
  rollUps: Bytes,
  names: Bytes,
  total: Bytes,
  uncompressed: Bytes,
})

/** What a dataset will take, before it is made: from numbers, or counted in a sample of its points. */
export function registerEstimateRoutes(app: Api, store: Store, config: Config): void {
  app.post(
    '/v1/estimate',
    {
      config: { permission: 'read' },
      schema: {
        tags: ['datasets'],
        summary: 'Estimate what a dataset will take',
        description:
          'Give `series` and `everySeconds`, or a sample of points in a format that points are added in; what is given counts, the rest ' +
          'is taken from the sample. Nothing is stored.',
        querystring: Type.Object({
          series: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000_000 })),
          everySeconds: Type.Optional(Type.Number({ minimum: 0.001, maximum: 31_536_000 })),
          nameBytes: Type.Optional(
            Type.Integer({
              minimum: 1,
              maximum: 20_000,
              description: 'Mean length of a metric with its tags',
            }),
          ),
          retention: Type.Optional(Type.Enum(['forever', 'year', 'month', 'week'])),
        }),
        response: {
          200: Type.Object({
            engine: Type.Enum(['partitioned', 'timescale']),
            series: Type.Integer(),
            everySeconds: Type.Number(),
            retention: Type.String(),
            pointsPerDay: Type.Integer(),
            rollUpRowsPerDay: Type.Integer(),
            disk: Type.Object({
              day: Disk,
              month: Disk,
              full: Disk,
              fullAfterDays: Type.Integer({ description: 'When as much goes as comes; 365 for `forever`' }),
              grows: Type.Boolean({ description: 'Whether it goes on growing after that' }),
            }),
            memory: Type.Object({
              rememberedSeries: Bytes,
              catalogue: Bytes,
              newestPoints: Bytes,
              hotPages: Bytes,
              sharedBuffers: Bytes,
            }),
            figures: Type.Array(
              Type.Object({ name: Type.String(), bytes: Type.Number(), source: Type.String() }),
            ),
            sample: Type.Optional(
              Type.Object({
                points: Type.Integer(),
                series: Type.Integer(),
                everySeconds: Type.Optional(Type.Number()),
                nameBytes: Type.Integer(),
                exploding: Type.Optional(Type.Object({ field: Type.String(), values: Type.Integer() })),
                rejectedTotal: Type.Integer(),
              }),
            ),
            warnings: Type.Array(Type.String()),
          }),
          ...problems,
        },
      },
    },
    async (request) => {
      const { retention = 'forever', ...given } = request.query
      const hasSample = request.body !== undefined && request.body !== null
      const sample = hasSample ? await survey(request as never, config) : undefined
      const limits = {
        maxSeriesPerDataset: config.maxSeriesPerDataset,
        freeBytes: await freeDiskBytes(config),
      }
      const estimate = estimateDataset({ ...given, retention }, sample, store.metrics.name, limits)
      return { ...estimate, figures: [...estimate.figures], warnings: [...estimate.warnings] }
    },
  )
}

async function survey(
  request: Parameters<typeof readPointBody>[0] & { readonly body: Readable },
  config: Config,
): ReturnType<typeof surveyPoints> {
  // As many series as there may be rows: that they explode is what is to be found out.
  const points = await readPointBody(request, { ...config, maxSeriesPerRequest: MAX_SERIES })
  const { keys, series, timesMs, values, lines, rejected, rejectedTotal } = points
  return surveyPoints(
    once({
      points: { keys: [...keys], series, timesMs, values, lines },
      rejected: [...rejected],
      rejectedTotal,
    }),
  )
}

const MAX_SERIES = 1_000_000

async function* once<T>(chunk: T): AsyncGenerator<T> {
  yield chunk
}
