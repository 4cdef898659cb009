import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { estimateMetrics } from '../../src/metrics/estimate.ts'
import type { MetricsEngine } from '../../src/metrics/metrics-engine.ts'
import { COMPRESSION_FACTOR, ESTIMATE_FACTOR } from '../../src/metrics/storage-costs.ts'
import { compressDue } from '../../src/metrics/timescale-compression.ts'
import { WORKLOAD_NOW_MS } from '../conformance/metrics-workload.ts'
import { makePartitionedEngine } from './partitioned-fixture.ts'
import { isTimescaleOffered, makeTimescaleEngine } from './timescale-fixture.ts'

const DAY_MS = 86_400_000
const POINTS_AT_ONCE = 10_000
const isOffered = await isTimescaleOffered()

/** Points of whole days that have ended, as live ones come: all series at one time, then at the next. */
async function load(
  engine: MetricsEngine,
  series: number,
  everySeconds: number,
  days: number,
  value: (i: number) => number,
): Promise<number> {
  const keys = Array.from({ length: series }, (_, i) => ({
    metric: 'cpu_usage',
    tags: { host: `web-${i}`, region: 'eu-central-1' },
  }))
  const startMs = Math.floor(WORKLOAD_NOW_MS / DAY_MS) * DAY_MS - (days + 2) * DAY_MS
  const total = (series * days * 86_400) / everySeconds
  const scope = { tenantId: randomUUID() }
  const source = { kind: 'dataset', id: randomUUID(), retention: 'forever' } as const
  for (let from = 0; from < total; from += POINTS_AT_ONCE) {
    const size = Math.min(POINTS_AT_ONCE, total - from)
    const at = (i: number): number => Math.floor((from + i) / series)
    await engine.append(scope, {
      source,
      keys,
      series: Uint32Array.from({ length: size }, (_, i) => (from + i) % series),
      timesMs: Float64Array.from({ length: size }, (_, i) => startMs + at(i) * everySeconds * 1000),
      values: Float64Array.from({ length: size }, (_, i) => value(from + i)),
    })
  }
  while ((await engine.rollUp(new Date(WORKLOAD_NOW_MS))).hasMore);
  return total
}

async function ask(adminUrl: string, statement: string): Promise<number> {
  const client = new pg.Client({ connectionString: adminUrl })
  await client.connect()
  try {
    const { rows } = await client.query<{ bytes: string }>(statement)
    return Number(rows[0]!.bytes)
  } finally {
    await client.end()
  }
}

const ofSeries = "select pg_total_relation_size('metrics.series') as bytes"
const ofPartitions = (parent: string): string =>
  `select coalesce(sum(pg_total_relation_size(relid)), 0) as bytes from pg_partition_tree('metrics.${parent}')`
const ofChunks = (hypertable: string): string =>
  `select coalesce(sum(total_bytes), 0) as bytes from chunks_detailed_size('metrics.${hypertable}')`
const ofAggregate = (view: string): string =>
  `select total_bytes as bytes from timescaledb_information.continuous_aggregates
   cross join lateral hypertable_detailed_size(format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass)
   where view_name = '${view}'`

function expectWithin(actual: number, estimated: number, factor: number): void {
  expect(estimated / actual).toBeGreaterThan(1 / factor)
  expect(estimated / actual).toBeLessThan(factor)
}

// Whole numbers of few kinds take next to nothing; what is estimated is for values that have some digits.
let walked = 50
const walk = (i: number): number => {
  walked += (((i * 7919) % 101) - 50) / 100
  return Math.round(walked * 100) / 100
}

describe('an estimate is within its factor of what is stored', () => {
  test.each([
    [500, 120, 1],
    [500, 600, 3],
  ])('in partitions: %i series, every %i s', async (series, everySeconds, days) => {
    await using fixture = await makePartitionedEngine()
    // Empty tables have pages too.
    const empty = await ask(fixture.adminUrl, ofSeries)
    const total = await load(fixture.engine, series, everySeconds, days, walk)
    const estimate = estimateMetrics({ series, everySeconds, retention: 'forever' }, 'partitioned')
    expect(estimate.pointsPerDay * days).toBe(total)
    const points = await ask(fixture.adminUrl, ofPartitions('points_forever'))
    expectWithin(points, estimate.disk.day.points * days, ESTIMATE_FACTOR)
    const hourly = await ask(fixture.adminUrl, ofPartitions('hourly_forever'))
    const daily = await ask(fixture.adminUrl, ofPartitions('daily_forever'))
    expectWithin(hourly + daily, estimate.disk.day.rollUps * days, ESTIMATE_FACTOR)
    const names = await ask(fixture.adminUrl, ofSeries)
    expectWithin(names - empty, estimate.memory.catalogue, ESTIMATE_FACTOR)
  })

  test.skipIf(!isOffered).each([
    [200, 60, 2],
    [500, 600, 3],
  ])('in TimescaleDB, compressed and not: %i series, every %i s', async (series, everySeconds, days) => {
    await using fixture = await makeTimescaleEngine()
    await load(fixture.engine, series, everySeconds, days, walk)
    const estimate = estimateMetrics({ series, everySeconds, retention: 'forever' }, 'timescale')
    const names = estimate.disk.day.names + estimate.disk.day.rollUps
    const raw = await ask(fixture.adminUrl, ofChunks('timescale_points_forever'))
    expectWithin(raw, (estimate.disk.day.uncompressed - names) * days, ESTIMATE_FACTOR)
    expect(await compressDue(fixture.database, 'forever', WORKLOAD_NOW_MS)).toBe(days)
    const compressed = await ask(fixture.adminUrl, ofChunks('timescale_points_forever'))
    // A day more, when as much is open as before: what one day takes that has settled.
    const settled = (estimate.disk.month.points - estimate.disk.day.points) / 29
    expect(compressed).toBeLessThan(raw / 4)
    // The first day of those after it is open in part; all but it are settled.
    const open = estimate.disk.day.points * (2 / 24)
    expectWithin(compressed, (settled - open / 29) * days, COMPRESSION_FACTOR)
    const rollUps =
      (await ask(fixture.adminUrl, ofAggregate('timescale_hourly_forever'))) +
      (await ask(fixture.adminUrl, ofAggregate('timescale_daily_forever')))
    expectWithin(rollUps, estimate.disk.day.rollUps * days, ESTIMATE_FACTOR)
  })
})

describe('estimates', () => {
  const of = (series: number, everySeconds: number, engine: MetricsEngine['name']) =>
    estimateMetrics({ series, everySeconds, retention: 'year' }, engine)

  test('grow with what is stored, and never beyond what it takes without compression by much', () => {
    for (const engine of ['partitioned', 'timescale'] as const)
      for (const series of [1, 10, 1000, 100_000])
        for (const everySeconds of [0.1, 1, 60, 3600, 100_000]) {
          const estimate = of(series, everySeconds, engine)
          const { day, month, full } = estimate.disk
          expect(day.total).toBeLessThanOrEqual(month.total)
          expect(month.total).toBeLessThanOrEqual(full.total)
          // A series of which a chunk has a point or two takes more when it is compressed.
          if (everySeconds <= 3600) expect(full.total).toBeLessThanOrEqual(full.uncompressed)
          expect(of(series * 10, everySeconds, engine).disk.full.total).toBeGreaterThan(full.total)
          expect(estimate.figures.every(({ bytes, source }) => bytes >= 0 && source.length > 10)).toBe(true)
        }
  })

  test('points that expire stop growing; those kept forever do not', () => {
    for (const retention of ['week', 'month', 'year'] as const) {
      const { disk } = estimateMetrics({ series: 10, everySeconds: 60, retention }, 'timescale')
      expect(disk.grows).toBe(false)
    }
    const { disk } = estimateMetrics({ series: 10, everySeconds: 60, retention: 'forever' }, 'timescale')
    expect(disk).toMatchObject({ grows: true, fullAfterDays: 365 })
  })
})
