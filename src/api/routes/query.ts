import { type Static, Type } from 'typebox'
import type { TenantScope } from '../../access/tenant-scope.ts'
import type { Freshness } from '../../database/position.ts'
import { invalidField } from '../../errors.ts'
import type { BucketWidth, MetricBucket, MetricQuery } from '../../metrics/metric-query.ts'
import { POINTS_TTL_SECONDS } from '../../store/point-tags.ts'
import type { Store } from '../../store/store.ts'
import type { Api } from '../api.ts'
import { untilAbandoned } from '../plugins/abandonment.ts'
import { identityOf } from '../plugins/authentication.ts'
import { freshnessOf, metricsFreshnessOf, repositoriesOf } from '../plugins/positions.ts'
import { DatasetParams, Instant, parseRange, problems, SeriesParams, Tags, Time } from '../schemas/shared.ts'
import { findSeries } from './series.ts'

const MAX_SERIES = 200
const MAX_BUCKETS = 100_000

const Numbers = Type.Array(Type.Union([Type.Number(), Type.Null()]))
const Unit = Type.Union([Type.Literal('day'), Type.Literal('week'), Type.Literal('month')])
const Buckets = Type.Object({
  seriesId: Type.Integer({ description: 'Of a group: the lowest id in it' }),
  group: Type.Optional(Type.String({ description: 'The metric, or an empty text for everything' })),
  bucketSeconds: Type.Optional(Type.Number()),
  unit: Type.Optional(Unit),
  timeZone: Type.Optional(Type.String()),
  startsMs: Type.Array(Type.Number()),
  count: Type.Array(Type.Integer()),
  nonFinite: Type.Array(Type.Integer()),
  sum: Numbers,
  min: Numbers,
  max: Numbers,
  last: Numbers,
  mean: Numbers,
})
const Plan = Type.Object({
  engine: Type.String(),
  series: Type.Integer(),
  segments: Type.Array(
    Type.Object({
      retention: Type.String(),
      source: Type.String(),
      reason: Type.String(),
      from: Time,
      to: Time,
      series: Type.Integer(),
      hours: Type.Optional(Type.Integer()),
    }),
  ),
})
/** A width, `bucketSeconds` or `unit` with `timeZone`, and what else both routes take. */
const BucketsQuery = {
  from: Type.Optional(Instant),
  to: Type.Optional(Instant),
  bucketSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 31_622_400 })),
  unit: Type.Optional(Unit),
  timeZone: Type.Optional(
    Type.String({ maxLength: 64, description: 'IANA name, such as Europe/Berlin; UTC if left out' }),
  ),
  explain: Type.Optional(Type.Boolean({ description: 'Answer how the query would be answered instead' })),
}
const tags = ['series']
/** Aggregates that no answer has. */
const UNANSWERED = ['sumSquares'] as const

interface Asked {
  readonly from?: string
  readonly to?: string
  readonly bucketSeconds?: number
  readonly unit?: 'day' | 'week' | 'month'
  readonly timeZone?: string
}

/** Aggregates of series over time buckets. */
export function registerQueryRoutes(app: Api, store: Store): void {
  app.get(
    '/v1/series/:id/buckets',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'Aggregate a series over time buckets',
        description:
          'Buckets of `bucketSeconds` start at multiples of their width since 1970 UTC, those of a calendar `unit` where it begins in `timeZone`; empty ones are left out.',
        params: SeriesParams,
        querystring: Type.Object(BucketsQuery),
        response: { 200: Type.Union([Buckets, Plan]), ...problems },
      },
    },
    async (request, reply) => {
      const { scope } = identityOf(request)
      const freshness = await metricsFreshnessOf(request, store)
      const series = await findSeries(store, scope, request.params.id, freshnessOf(request, store).metrics)
      const query = toQuery([series.id], request.query, freshness, untilAbandoned(reply))
      if (request.query.explain === true) return explainQuery(store, scope, query)
      const [answer] = await readCached(store, scope, query)
      return reply
        .type('application/json')
        .serializer(serializeColumns)
        .send(answer ?? emptyBuckets(query.bucket, series.id))
    },
  )

  app.post(
    '/v1/query',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'Aggregate several series over time buckets',
        description:
          'Of series given by id, or of all in a dataset that have a metric and tags; each by itself, or together by metric or all.',
        body: Type.Object(
          {
            seriesIds: Type.Optional(
              Type.Array(Type.Integer({ minimum: 1, maximum: 2_147_483_647 }), {
                minItems: 1,
                maxItems: MAX_SERIES,
              }),
            ),
            dataset: Type.Optional(DatasetParams.properties.dataset),
            metric: Type.Optional(Type.String({ maxLength: 200 })),
            tags: Type.Optional(Tags),
            groupBy: Type.Optional(
              Type.Union([Type.Literal('series'), Type.Literal('metric'), Type.Literal('all')]),
            ),
            last: Type.Optional(
              Type.Boolean({
                description: '`false` leaves the newest values out: groups are answered sooner',
              }),
            ),
            ...BucketsQuery,
          },
          { additionalProperties: false },
        ),
        response: { 200: Type.Union([Type.Object({ series: Type.Array(Buckets) }), Plan]), ...problems },
      },
    },
    async (request, reply) => {
      const { scope } = identityOf(request)
      const { seriesIds, dataset, metric, tags: wanted, groupBy, last, explain } = request.body
      if ((seriesIds === undefined) === (dataset === undefined))
        throw invalidField('seriesIds', 'either these or a dataset must be given')
      const freshness = await metricsFreshnessOf(request, store)
      const selected =
        seriesIds ??
        ({
          sourceId: (await repositoriesOf(request, store).datasets.get(dataset!)).id,
          ...(metric === undefined ? {} : { metric }),
          ...(wanted === undefined ? {} : { tags: wanted }),
        } satisfies MetricQuery['series'])
      const query = {
        ...toQuery(selected, request.body, freshness, untilAbandoned(reply)),
        ...(groupBy === undefined ? {} : { groupBy }),
        ...(last === false ? { without: ['last', ...UNANSWERED] as const } : {}),
      }
      if (explain === true) return explainQuery(store, scope, query)
      const series = await readCached(store, scope, query)
      return reply.type('application/json').serializer(serializeColumns).send({ series })
    },
  )
}

/** For long columns of numbers: takes a sixth of the time of the serializer that is made from the schema. */
const serializeColumns = (payload: unknown): string => JSON.stringify(payload)

function toQuery(
  series: MetricQuery['series'],
  asked: Asked,
  freshness: Freshness,
  signal: AbortSignal,
): MetricQuery {
  const { bucketSeconds, unit, timeZone } = asked
  if ((bucketSeconds === undefined) === (unit === undefined))
    throw invalidField('bucketSeconds', 'either this or a unit must be given')
  if (unit === undefined && timeZone !== undefined)
    throw invalidField('timeZone', 'goes with a unit; buckets of seconds have no zone')
  return {
    series,
    range: parseRange(asked),
    bucket: unit === undefined ? { seconds: bucketSeconds! } : { unit, timeZone: timeZone ?? 'UTC' },
    without: UNANSWERED,
    freshness,
    signal,
  }
}

async function explainQuery(
  store: Store,
  scope: TenantScope,
  query: MetricQuery,
): Promise<Static<typeof Plan>> {
  const { segments, ...plan } = await store.metrics.explain(scope, query)
  return {
    ...plan,
    segments: segments.map(({ fromMs, toMs, ...segment }) => ({
      ...segment,
      from: new Date(fromMs).toISOString(),
      to: new Date(toMs).toISOString(),
    })),
  }
}

/** As {@link readBuckets}, once for all who ask the same until points of it change. */
async function readCached(
  store: Store,
  scope: TenantScope,
  query: MetricQuery,
): Promise<Static<typeof Buckets>[]> {
  const { freshness, signal, ...wanted } = query
  const dependsOn = await store.pointTags.of(scope, query.series)
  if (dependsOn === undefined) return readBuckets(store, scope, query)
  const answer = await store.cache.read(scope, {
    key: `buckets 1 ${JSON.stringify(wanted)}`,
    tags: dependsOn,
    schema: Type.Array(Buckets),
    freshness,
    ttlSeconds: POINTS_TTL_SECONDS,
    signal,
    load: (newEnough, whileWanted) =>
      readBuckets(store, scope, { ...query, freshness: newEnough, signal: whileWanted }),
  })
  return answer ?? []
}

async function readBuckets(
  store: Store,
  scope: TenantScope,
  query: MetricQuery,
): Promise<Static<typeof Buckets>[]> {
  const { series, bucket: width, groupBy = 'series' } = query
  // Series that were asked for by id are answered even where they have nothing; groups are what is found.
  const asked = groupBy === 'series' && !('sourceId' in series) ? series : []
  const answers = new Map(asked.map((id) => [id, emptyBuckets(width, id)]))
  let total = 0
  for await (const bucket of store.metrics.query(scope, query)) {
    total += 1
    if (total > MAX_BUCKETS)
      throw invalidField(
        'bucketSeconds',
        `gives more than ${MAX_BUCKETS} buckets`,
        'Take wider buckets or a shorter range.',
      )
    const columns = answers.get(bucket.seriesId) ?? emptyBuckets(width, bucket.seriesId, bucket.group)
    answers.set(bucket.seriesId, columns)
    addBucket(columns, bucket)
  }
  return [...answers.values()]
}

function emptyBuckets(width: BucketWidth, seriesId: number, group?: string): Static<typeof Buckets> {
  return {
    seriesId,
    ...(group === undefined ? {} : { group }),
    ...('seconds' in width ? { bucketSeconds: width.seconds } : width),
    startsMs: [],
    count: [],
    nonFinite: [],
    sum: [],
    min: [],
    max: [],
    last: [],
    mean: [],
  }
}

function addBucket(columns: Static<typeof Buckets>, bucket: MetricBucket): void {
  columns.startsMs.push(bucket.startMs)
  columns.count.push(bucket.count)
  columns.nonFinite.push(bucket.nonFinite)
  columns.sum.push(bucket.sum)
  columns.min.push(bucket.min)
  columns.max.push(bucket.max)
  columns.last.push(bucket.last)
  columns.mean.push(bucket.sum === null ? null : bucket.sum / bucket.count)
}
