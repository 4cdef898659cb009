import { join } from 'node:path'
import type { TenantScope } from '../../src/access/tenant-scope.ts'
import type { MetricsEngine, PointBatch, SeriesSource } from '../../src/metrics/metrics-engine.ts'
import { median } from '../checks.ts'
import { RawCopy, type RawLimit } from './raw-copy.ts'
import { keyIndex, makeBatches, type SampleSize } from './sample-points.ts'
import { pointsPerSecond } from './throughput.ts'

export interface AppendOptions extends SampleSize {
  readonly engine: MetricsEngine
  readonly scope: TenantScope
  /** A dataset of that tenant, empty, whose points are kept forever. */
  readonly source: SeriesSource
  /** Superuser's address of the engine's database, migrated and otherwise unused: its points are truncated. */
  readonly adminUrl: string
  /** The engine's table of points that are kept forever; that of the partitioned engine when left out. */
  readonly pointsTable?: string
  readonly runs: number
  /** For the file that is copied. */
  readonly directory: string
  readonly log: (message: string) => void
  /** Something else to be measured in each run, in whatever a second. */
  readonly neighbour?: () => Promise<number>
}

/** Medians over the runs. */
export interface AppendRates {
  readonly limit: RawLimit
  readonly rawPointsPerSecond: number
  readonly freshPointsPerSecond: number
  readonly repeatedPointsPerSecond: number
  /** Of ratios taken within one run. */
  readonly freshRatio: number
  readonly repeatedRatio: number
  /** The neighbour's rate, and that of fresh points to it; not a number without one. */
  readonly neighbourPerSecond: number
  readonly neighbourRatio: number
}

/**
 * Measures `append` of fresh points and of the same points again, against a raw copy of the same points into the same table:
 * the three alternate, and each run compares neighbours.
 */
export async function measureAppend(options: AppendOptions): Promise<AppendRates> {
  const { engine, scope, source, points } = options
  const batches = makeBatches(options, source)
  const appendAll = async (some: readonly PointBatch[]): Promise<void> => {
    for (const batch of some) await engine.append(scope, batch)
  }
  // Makes series and partitions, which both sides then find.
  await appendAll(batches.slice(0, 1))
  await appendAll(batches.slice(-1))
  const ids: number[] = []
  for (const series of await engine.listSeries(scope, { sourceId: source.id, limit: 1_000_000 }))
    ids[keyIndex(series)] = series.id
  await using raw = await RawCopy.prepare(
    options.adminUrl,
    join(options.directory, 'append.tsv'),
    batches,
    ids,
    options.pointsTable,
  )
  const rates = {
    raw: [] as number[],
    fresh: [] as number[],
    repeated: [] as number[],
    neighbour: [] as number[],
  }
  for (let run = 1; run <= options.runs; run++) {
    await raw.reset()
    rates.raw.push(await pointsPerSecond(points, () => raw.copy()))
    await raw.reset()
    rates.fresh.push(await pointsPerSecond(points, () => appendAll(batches)))
    await raw.requireCount(points)
    rates.repeated.push(await pointsPerSecond(points, () => appendAll(batches)))
    await raw.requireCount(points)
    rates.neighbour.push((await options.neighbour?.()) ?? Number.NaN)
    const last = Object.entries(rates)
      .filter(([, list]) => !Number.isNaN(list.at(-1)))
      .map(([name, list]) => `${name} ${Number((list.at(-1)! / 1000).toPrecision(3))}k/s`)
    options.log(`append, run ${run}: ${last.join(', ')}`)
  }
  return {
    limit: raw.limit,
    rawPointsPerSecond: median(rates.raw),
    freshPointsPerSecond: median(rates.fresh),
    repeatedPointsPerSecond: median(rates.repeated),
    freshRatio: median(rates.fresh.map((rate, run) => rate / rates.raw[run]!)),
    repeatedRatio: median(rates.repeated.map((rate, run) => rate / rates.raw[run]!)),
    neighbourPerSecond: median(rates.neighbour),
    neighbourRatio: median(rates.neighbour.map((rate, run) => rates.fresh[run]! / rate)),
  }
}
