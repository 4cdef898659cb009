import { execFile } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import type { MetricsEngine, PointBatch } from '../src/metrics/metrics-engine.ts'

export interface AppendBenchOptions {
  readonly engine: MetricsEngine
  /** Superuser's address of the engine's database, migrated and otherwise unused: its points are truncated. */
  readonly adminUrl: string
  readonly points: number
  readonly pointsPerBatch: number
  readonly series: number
  readonly runs: number
  readonly log: (message: string) => void
}

/** Sizes of a full run, and of one with `--quick`. */
export const APPEND_BENCH_SIZES = {
  full: { points: 1_000_000, pointsPerBatch: 10_000, series: 1_000, runs: 3 },
  quick: { points: 200_000, pointsPerBatch: 10_000, series: 1_000, runs: 3 },
} as const

export interface AppendBenchResult {
  /** What the raw limit was measured with. */
  readonly rawLimit: 'psql \\copy' | 'COPY text through the driver'
  /** Medians over the runs, points per second. */
  readonly rawPointsPerSecond: number
  readonly freshPointsPerSecond: number
  readonly repeatedPointsPerSecond: number
  /** Medians over the runs of ratios taken within one run. */
  readonly freshRatio: number
  readonly repeatedRatio: number
}

const TENANT = { tenantId: '00000000-0000-4000-8000-00000000be0c' }
const SOURCE = { kind: 'dataset', id: '00000000-0000-4000-8000-00000000be0d', retention: 'forever' } as const
const STEP_MS = 10_000
const START_MS = Date.UTC(2026, 0, 1)

/**
 * Measures `append` of fresh points and of the same points again, against `psql \copy` of the same points into the same table:
 * the three alternate, and each run compares neighbours.
 */
export async function measureAppend(options: AppendBenchOptions): Promise<AppendBenchResult> {
  const directory = await mkdtemp(join(tmpdir(), 'nomaly-bench-'))
  const admin = new pg.Client({ connectionString: options.adminUrl })
  await admin.connect()
  try {
    const batches = makeBatches(options)
    // Makes series and partitions, which both sides then find.
    await appendAll(options.engine, batches.slice(0, 1))
    await appendAll(options.engine, batches.slice(-1))
    const file = join(directory, 'points.tsv')
    await writePoints(file, batches, await seriesIds(options.engine))
    const hasPsql = await promisify(execFile)('psql', ['--version']).then(
      () => true,
      () => false,
    )
    const raw: number[] = []
    const fresh: number[] = []
    const repeated: number[] = []
    for (let run = 1; run <= options.runs; run++) {
      await reset(admin)
      raw.push(options.points / (await seconds(() => rawCopy(options.adminUrl, admin, file, hasPsql))))
      await reset(admin)
      fresh.push(options.points / (await seconds(() => appendAll(options.engine, batches))))
      await requireCount(admin, options.points)
      repeated.push(options.points / (await seconds(() => appendAll(options.engine, batches))))
      await requireCount(admin, options.points)
      const [r, f, a] = [raw, fresh, repeated].map((list) => `${Math.round(list.at(-1)! / 1000)}k/s`)
      options.log(`run ${run}: raw ${r}, fresh ${f}, repeated ${a}`)
    }
    return {
      rawLimit: hasPsql ? 'psql \\copy' : 'COPY text through the driver',
      rawPointsPerSecond: median(raw),
      freshPointsPerSecond: median(fresh),
      repeatedPointsPerSecond: median(repeated),
      freshRatio: median(fresh.map((value, run) => value / raw[run]!)),
      repeatedRatio: median(repeated.map((value, run) => value / raw[run]!)),
    }
  } finally {
    await admin.end()
    await rm(directory, { recursive: true, force: true })
  }
}

/** Points as collectors send them: all series at one time, then all at the next. */
function makeBatches({ points, pointsPerBatch, series }: AppendBenchOptions): PointBatch[] {
  const keys = Array.from({ length: series }, (_, i) => ({
    metric: `metric_${i % 10}`,
    tags: { host: `host-${Math.floor(i / 10)}`, region: 'north' },
  }))
  return Array.from({ length: Math.ceil(points / pointsPerBatch) }, (_, batch) => {
    const first = batch * pointsPerBatch
    const indexes = Array.from(
      { length: Math.min(pointsPerBatch, points - first) },
      (_unused, i) => first + i,
    )
    return {
      source: SOURCE,
      keys,
      series: Uint32Array.from(indexes, (i) => i % series),
      timesMs: Float64Array.from(indexes, (i) => START_MS + Math.floor(i / series) * STEP_MS),
      // A smooth curve with digits enough to be as long as measurements are.
      values: Float64Array.from(indexes, (i) => 100 + 10 * Math.sin(i / 7919) + (i % 1000) / 997),
    }
  })
}

async function appendAll(engine: MetricsEngine, batches: readonly PointBatch[]): Promise<void> {
  for (const batch of batches) await engine.append(TENANT, batch)
}

/** Ids by index of the key in a batch. */
async function seriesIds(engine: MetricsEngine): Promise<number[]> {
  const found = await engine.listSeries(TENANT, { sourceId: SOURCE.id, limit: 1_000_000 })
  const index = ({ metric, tags }: { metric: string; tags: Readonly<Record<string, string>> }) =>
    Number(tags['host']!.slice('host-'.length)) * 10 + Number(metric.slice('metric_'.length))
  const ids: number[] = []
  for (const series of found) ids[index(series)] = series.id
  return ids
}

async function writePoints(
  file: string,
  batches: readonly PointBatch[],
  ids: readonly number[],
): Promise<void> {
  const handle = await open(file, 'w')
  try {
    for (const { series, timesMs, values } of batches) {
      let text = ''
      for (let i = 0; i < series.length; i++)
        text += `${new Date(timesMs[i]!).toISOString()}\t${ids[series[i]!]}\t${values[i]}\n`
      await handle.write(text)
    }
  } finally {
    await handle.close()
  }
}

const INTO = 'metrics.points_forever (time, series_id, value)'

async function rawCopy(adminUrl: string, admin: pg.Client, file: string, hasPsql: boolean): Promise<void> {
  if (hasPsql) await promisify(execFile)('psql', ['-qX', '-c', `\\copy ${INTO} from '${file}'`, adminUrl])
  else await pipeline(createReadStream(file), admin.query(copyFrom(`copy ${INTO} from stdin`)))
}

async function reset(admin: pg.Client): Promise<void> {
  await admin.query('truncate metrics.points_forever')
  await admin.query(`update metrics.latest_points set time = '-infinity', value = 'NaN'`)
  await admin.query('vacuum (analyze) metrics.latest_points, metrics.series')
  await admin.query('checkpoint')
}

async function requireCount(admin: pg.Client, points: number): Promise<void> {
  const { rows } = await admin.query<{ count: string }>('select count(*) from metrics.points_forever')
  if (Number(rows[0]!.count) !== points)
    throw new Error(
      `${rows[0]!.count} points are stored instead of ${points}: the measurement is worth nothing.`,
    )
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]!
}
