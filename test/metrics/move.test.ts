import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { EngineMoved } from '../../src/metrics/engine-state.ts'
import type { MetricsEngine, RetentionClass, SeriesSource } from '../../src/metrics/metrics-engine.ts'
import { MovableMetrics } from '../../src/metrics/movable-metrics.ts'
import { PartitionedEngine } from '../../src/metrics/partitioned-engine.ts'
import { TimescaleEngine } from '../../src/metrics/timescale-engine.ts'
import { cancelMove, moveMetrics, type MovePhase } from '../../src/operations/move/move-metrics.ts'
import { openMoveSides } from '../../src/store/open-store.ts'
import { ALWAYS, scanned } from '../conformance/metrics-probe.ts'
import { WORKLOAD_NOW_MS } from '../conformance/metrics-workload.ts'
import { isTimescaleOffered, makeTimescaleEngine, type TimescaleFixture } from './timescale-fixture.ts'
import { uniform } from '../support/random.ts'

const DAY_MS = 86_400_000
const clock = () => WORKLOAD_NOW_MS
const isOffered = await isTimescaleOffered()
const suffix = isOffered ? '' : ' (skipped: this server offers no timescaledb)'

let fixture: TimescaleFixture
let database: Database
let processes: MovableMetrics[]

function open(name: MetricsEngine['name']): MetricsEngine {
  return name === 'timescale'
    ? new TimescaleEngine({ database, clock })
    : new PartitionedEngine({ database, clock })
}

function move(
  to: MetricsEngine['name'],
  changes: { signal?: AbortSignal; onPhase?: (phase: MovePhase) => void } = {},
) {
  return moveMetrics({
    database,
    sides: openMoveSides(database, clock),
    to,
    clock,
    signal: changes.signal ?? new AbortController().signal,
    progress: ({ phase }) => changes.onPhase?.(phase),
  })
}

/** What one writer has stored of its own, as it was told. */
class Writer {
  readonly scope = { tenantId: randomUUID() }
  readonly stored = new Map<number, number>()
  source: SeriesSource

  constructor(retention: RetentionClass) {
    this.source = { kind: 'dataset', id: randomUUID(), retention }
  }

  async write(
    engine: MetricsEngine,
    kind: 'append' | 'correct',
    points: readonly (readonly [number, number])[],
  ) {
    await engine[kind](this.scope, {
      source: this.source,
      keys: [{ metric: 'm', tags: {} }],
      series: new Uint32Array(points.length),
      timesMs: Float64Array.from(points, ([timeMs]) => timeMs),
      values: Float64Array.from(points, ([, value]) => value),
    })
    for (const [timeMs, value] of points)
      if (kind === 'correct' || !this.stored.has(timeMs)) this.stored.set(timeMs, value)
  }

  async drop(engine: MetricsEngine) {
    await engine.dropSource(this.scope, this.source.id)
    this.stored.clear()
    this.source = { ...this.source, id: randomUUID() }
  }

  /** Compares raw points, newest point and daily buckets with what was told. */
  async expectStored(engine: MetricsEngine) {
    const series = await engine.listSeries(this.scope, {})
    const ids = series.map(({ id }) => id)
    const expected = [...this.stored].toSorted(([a], [b]) => a - b)
    const points = await scanned(engine, this.scope, ids, ALWAYS)
    expect(points.map(({ timeMs, value }) => [timeMs, value])).toEqual(expected)
    expect((await engine.latest(this.scope, ids)).map(({ timeMs, value }) => [timeMs, value])).toEqual(
      expected.slice(-1),
    )
    const days = [...Map.groupBy(expected, ([timeMs]) => Math.floor(timeMs / DAY_MS) * DAY_MS)]
    const buckets = []
    const query = { series: ids, range: ALWAYS, bucket: { seconds: 86_400 }, freshness: 'latest' } as const
    for await (const { startMs, count, min, max } of engine.query(this.scope, query))
      buckets.push([startMs, count, min, max])
    expect(buckets).toEqual(
      days.map(([startMs, of]) => {
        const values = of.map(([, value]) => value)
        return [startMs, of.length, Math.min(...values), Math.max(...values)]
      }),
    )
  }
}

async function rowsIn(table: string): Promise<number> {
  return database.read({ role: 'nomaly_system', freshness: 'latest' }, async (connection) => {
    const [row] = await connection.query<{ count: number }>(`select count(*)::int4 as count from ${table}`)
    return row!.count
  })
}

describe.skipIf(!isOffered)(`moving metrics between engines${suffix}`, () => {
  beforeEach(async () => {
    fixture = await makeTimescaleEngine()
    database = new Database({
      url: fixture.applicationUrl,
      applicationName: 'move',
      maxConnections: 16,
      acquireTimeoutMs: 20_000,
      statementTimeoutMs: 30_000,
      commitTimeoutMs: 10_000,
      log: () => {},
    })
    // Nothing is stored yet: it may still be either.
    const admin = new pg.Client({ connectionString: fixture.adminUrl })
    await admin.connect()
    await admin.query("update metrics.engine set name = 'partitioned'")
    await admin.end()
    processes = await Promise.all([0, 1].map(() => MovableMetrics.find(database, open)))
  })
  afterEach(async () => {
    await database[Symbol.asyncDispose]()
    await fixture[Symbol.asyncDispose]()
  })

  test('there and back under writes, corrections and removals, stopped and resumed at any moment', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 2 ** 31 }), async (seed) => {
        const random = uniform(seed)
        const pick = (below: number) => Math.floor(random() * below)
        const classes: RetentionClass[] = ['forever', 'forever', 'year', 'week']
        const writers = classes.map((retention) => new Writer(retention))
        const batch = (spreadDays: number) =>
          Array.from({ length: 1 + pick(30) }, (_, i) => {
            const timeMs = WORKLOAD_NOW_MS - pick(spreadDays * 24) * 3_600_000 + pick(60) * 60_000 + i
            return [timeMs, pick(1000)] as const
          })
        for (const writer of writers) await writer.write(processes[0]!, 'append', batch(6))
        let isMoving = true
        const writing = writers.map(async (writer, i) => {
          while (isMoving) {
            const engine = processes[pick(2)]!
            if (random() < 0.03) await writer.drop(engine)
            else await writer.write(engine, random() < 0.3 ? 'correct' : 'append', batch(i === 0 ? 300 : 6))
            if (random() < 0.1) await writer.expectStored(processes[pick(2)]!)
            await sleep(pick(20))
          }
        })
        const moving = async () => {
          for (const to of ['timescale', 'partitioned'] as const)
            for (let attempt = 1, isThere = false; !isThere; attempt++) {
              const stop = AbortSignal.timeout(30 + pick(1_500))
              try {
                await move(to, attempt <= 4 ? { signal: stop } : {})
                isThere = true
              } catch (error) {
                if (!stop.aborted) throw error
              }
            }
        }
        try {
          await Promise.race([moving(), Promise.all(writing)])
        } finally {
          isMoving = false
        }
        await Promise.all(writing)
        for (const writer of writers) {
          await writer.expectStored(processes[0]!)
          await writer.expectStored(processes[1]!)
        }
        await processes[0]!.rollUp(new Date(WORKLOAD_NOW_MS))
        for (const writer of writers) await writer.expectStored(processes[1]!)
        expect(
          await rowsIn(`timescaledb_information.chunks where hypertable_name = 'timescale_points_forever'`),
        ).toBe(0)
      }),
      { numRuns: Number(process.env['NOMALY_TEST_MOVES'] ?? 2), endOnFailure: true },
    )
  }, 300_000)

  test('leaves nothing behind, compresses what it brings, and does nothing where all is there already', async () => {
    const writer = new Writer('forever')
    const old = Array.from(
      { length: 20_000 },
      (_, i) => [WORKLOAD_NOW_MS - 3 * DAY_MS - i * 1000, i] as const,
    )
    await writer.write(processes[0]!, 'append', old)
    const phases = new Set<MovePhase>()
    const report = await move('timescale', { onPhase: (phase) => phases.add(phase) })
    expect(report).toMatchObject({ hasMoved: true, points: 20_000, repaired: 0, isCleared: true })
    expect(phases).toEqual(
      new Set(['copying', 'catching up', 'rolling up', 'verifying', 'switching', 'clearing']),
    )
    await writer.expectStored(processes[0]!)
    expect(processes[0]!.name).toBe('timescale')
    expect(await rowsIn('metrics.partitions')).toBe(0)
    expect(await rowsIn('metrics.move_windows')).toBe(0)
    expect(
      await rowsIn(
        `timescaledb_information.chunks where is_compressed and hypertable_name = 'timescale_points_forever'`,
      ),
    ).toBeGreaterThan(0)
    const { segments } = await processes[1]!.explain(writer.scope, {
      series: { sourceId: writer.source.id },
      range: {
        fromMs: WORKLOAD_NOW_MS - 3 * DAY_MS - 5 * 3_600_000,
        toMs: WORKLOAD_NOW_MS - 3 * DAY_MS - 3_600_000,
      },
      bucket: { seconds: 3_600 },
      freshness: 'latest',
    })
    expect(segments.map(({ source }) => source)).toContain('hourly')
    expect(await move('timescale')).toMatchObject({ hasMoved: false, isCleared: true })
  })

  test('can be given up until the switch, and the other way is refused meanwhile', async () => {
    const writer = new Writer('forever')
    await writer.write(processes[0]!, 'append', [[WORKLOAD_NOW_MS - DAY_MS, 1]])
    const stop = new AbortController()
    await expect(
      move('timescale', { signal: stop.signal, onPhase: (phase) => phase === 'verifying' && stop.abort() }),
    ).rejects.toThrow()
    expect(await rowsIn('metrics.timescale_points_forever')).toBe(1)
    await expect(move('partitioned')).rejects.toMatchObject({
      code: 'conflict',
      hint: expect.stringContaining('--cancel'),
    })
    const sides = openMoveSides(database, clock)
    expect(await cancelMove({ database, sides })).toBe(true)
    expect(await cancelMove({ database, sides })).toBe(false)
    expect(
      await rowsIn(`timescaledb_information.chunks where hypertable_name = 'timescale_points_forever'`),
    ).toBe(0)
    await writer.write(processes[1]!, 'append', [[WORKLOAD_NOW_MS, 2]])
    await writer.expectStored(processes[0]!)
    expect(processes.map(({ name }) => name)).toEqual(['partitioned', 'partitioned'])
  })

  test('finds and repairs a copy that is not the same', async () => {
    const writer = new Writer('forever')
    await writer.write(processes[0]!, 'append', [
      [WORKLOAD_NOW_MS - DAY_MS, 1],
      [WORKLOAD_NOW_MS - DAY_MS + 1, 2],
    ])
    const spoil = async () =>
      database.transaction({ role: 'nomaly_system' }, (connection) =>
        connection.query('update metrics.timescale_points_forever set value = 7 where value = 2'),
      )
    const stop = new AbortController()
    const first = move('timescale', {
      signal: stop.signal,
      onPhase: (phase) => phase === 'verifying' && stop.abort(),
    })
    await expect(first).rejects.toThrow()
    await spoil()
    expect(await move('timescale')).toMatchObject({ repaired: 1, hasMoved: true })
    await writer.expectStored(processes[0]!)
  })

  test('only one process moves at a time', async () => {
    await new Writer('forever').write(processes[0]!, 'append', [[WORKLOAD_NOW_MS, 1]])
    const results = await Promise.allSettled([move('timescale'), move('timescale')])
    const failed = results.filter((result) => result.status === 'rejected')
    expect(failed.length).toBeLessThanOrEqual(1)
    for (const { reason } of failed) expect(reason).toMatchObject({ code: 'conflict' })
  })

  test('a process that has not heard of the move cannot write to, or read from, what is no longer kept', async () => {
    const writer = new Writer('forever')
    const stale = open('partitioned')
    await writer.write(stale, 'append', [[WORKLOAD_NOW_MS, 1]])
    const [series] = await stale.listSeries(writer.scope, {})
    await move('timescale')
    await expect(writer.write(stale, 'append', [[WORKLOAD_NOW_MS + 1, 1]])).rejects.toBeInstanceOf(
      EngineMoved,
    )
    await expect(scanned(stale, writer.scope, [series!.id], ALWAYS)).rejects.toMatchObject({ code: '42501' })
    await expect(stale.tail(writer.scope, series!.id, ALWAYS, 10)).rejects.toMatchObject({ code: '42501' })
    await writer.expectStored(processes[0]!)
  })
})
