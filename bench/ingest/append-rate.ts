import { join } from 'node:path'
import type { MetricsEngine, PointBatch } from '../../src/metrics/metrics-engine.ts'
import { median } from '../checks.ts'
import { RawCopy, type RawLimit } from './raw-copy.ts'
import { keyIndex, makeBatches, type SampleSize } from './sample-points.ts'
import { pointsPerSecond } from './throughput.ts'

export interface AppendOptions extends SampleSize {
  readonly engine: MetricsEngine
  /** Superuser's address of the engine's database, migrated and otherwise unused: its points are truncated. */
  readonly adminUrl: string
  readonly runs: number
  /** For the file that is copied. */
  readonly directory: string
  readonly log: (message: string) => void
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
}

const TENANT = { tenantId: '00000000-0000-4000-8000-00000000be0c' }
const SOURCE = { kind: 'dataset', id: '00000000-0000-4000-8000-00000000be0d', retention: 'forever' } as const

/**
 * Measures `append` of fresh points and of the same points again, against a raw copy of the same points into the same table:
 * the three alternate, and each run compares neighbours.
 */
export async function measureAppend(options: AppendOptions): Promise<AppendRates> {
  const { engine, points } = options
  const batches = makeBatches(options, SOURCE)
  // Makes series and partitions, which both sides then find.
  await appendAll(engine, batches.slice(0, 1))
  await appendAll(engine, batches.slice(-1))
  const ids: number[] = []
  for (const series of await engine.listSeries(TENANT, { sourceId: SOURCE.id, limit: 1_000_000 }))
    ids[keyIndex(series)] = series.id
  await using raw = await RawCopy.prepare(
    options.adminUrl,
    join(options.directory, 'append.tsv'),
    batches,
    ids,
  )
  const rates = { raw: [] as number[], fresh: [] as number[], repeated: [] as number[] }
  for (let run = 1; run <= options.runs; run++) {
    await raw.reset()
    rates.raw.push(await pointsPerSecond(points, () => raw.copy()))
    await raw.reset()
    rates.fresh.push(await pointsPerSecond(points, () => appendAll(engine, batches)))
    await raw.requireCount(points)
    rates.repeated.push(await pointsPerSecond(points, () => appendAll(engine, batches)))
    await raw.requireCount(points)
    const last = Object.entries(rates).map(([name, list]) => `${name} ${Math.round(list.at(-1)! / 1000)}k/s`)
    options.log(`append, run ${run}: ${last.join(', ')}`)
  }
  return {
    limit: raw.limit,
    rawPointsPerSecond: median(rates.raw),
    freshPointsPerSecond: median(rates.fresh),
    repeatedPointsPerSecond: median(rates.repeated),
    freshRatio: median(rates.fresh.map((rate, run) => rate / rates.raw[run]!)),
    repeatedRatio: median(rates.repeated.map((rate, run) => rate / rates.raw[run]!)),
  }
}

async function appendAll(engine: MetricsEngine, batches: readonly PointBatch[]): Promise<void> {
  for (const batch of batches) await engine.append(TENANT, batch)
}
