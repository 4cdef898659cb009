import { setImmediate as otherWork } from 'node:timers/promises'
import { canonicalKey } from '../../metrics/series-key.ts'
import { seriesIds } from './find-conflicts.ts'
import type { MetricsRun } from './import-metrics.ts'
import { type MetricRows, NO_SERIES } from './metric-rows.ts'
import { common, hashSeries, PointSet, type SeriesHash } from './point-set.ts'
import type { SourceTable } from './source.ts'
import type { Comparison } from './verify-table.ts'

/** Points that are compared at once: each is a number in memory, on both sides. */
const POINTS_AT_ONCE = 8_000_000
const SERIES_AT_ONCE = 200

/** What the comparison of metrics comes to. */
export interface MetricsComparison extends Comparison {
  /** Rows that say what another row says, too. */
  readonly duplicates: number
  readonly series: number
}

/** Reads all metrics of the source again, and the points of their series: every one that was not set aside must be among them. */
export async function verifyMetrics(
  run: Pick<MetricsRun, 'metrics' | 'ledger' | 'context' | 'source' | 'signal'>,
  table: SourceTable,
  rows: MetricRows,
): Promise<MetricsComparison> {
  const aside = new Set(
    [...(await run.ledger.quarantinedPlaces(table.name))].map((key) => BigInt(key.split(' ')[0]!)),
  )
  const passes = Math.max(1, Math.ceil(table.count / POINTS_AT_ONCE))
  let [kept, source, target] = [0, 0, 0]
  let [sourceSum, targetSum] = [0n, 0n]
  for (let pass = 0; pass < passes; pass++) {
    const wanted = new PointSet(passes, pass)
    const { hashes, fromMs, toMs, count } = await readSource(run, rows, aside, wanted)
    const there = new PointSet(passes, pass)
    await readTarget(run, rows, hashes, { fromMs, toMs }, there)
    const distinct = wanted.distinct()
    const all = common(distinct, distinct)
    const found = common(distinct, there.distinct())
    kept = count
    source += all.count
    target += found.count
    sourceSum += all.sum
    targetSum += found.sum
  }
  return {
    what: `${table.name}, points`,
    source,
    target,
    sourceChecksum: hex(sourceSum),
    targetChecksum: hex(targetSum),
    wrong: source === target ? [] : [`${source - target} points`],
    duplicates: kept - source,
    series: rows.keys.length,
  }
}

async function readSource(
  { signal }: Pick<MetricsRun, 'signal'>,
  rows: MetricRows,
  aside: ReadonlySet<bigint>,
  points: PointSet,
): Promise<{ hashes: SeriesHash[]; fromMs: number; toMs: number; count: number }> {
  const hashes: SeriesHash[] = []
  let [fromMs, toMs, count] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0]
  for (const page of rows.after(-(2n ** 63n))) {
    await otherWork()
    signal.throwIfAborted()
    for (let at = 0; at < page.count; at++) {
      const series = page.series[at]!
      if (series === NO_SERIES || (aside.size > 0 && aside.has(page.places[at]!))) continue
      const timeMs = page.timesMs[at]!
      const hash = (hashes[series] ??= hashSeries(canonicalKey(rows.keys[series]!)))
      points.add(hash, Math.round(timeMs * 1000), page.values[at]!)
      if (timeMs < fromMs) fromMs = timeMs
      if (timeMs > toMs) toMs = timeMs
      count++
    }
  }
  return { hashes, fromMs, toMs: toMs + 1, count }
}

async function readTarget(
  { metrics, context, source, signal }: Pick<MetricsRun, 'metrics' | 'context' | 'source' | 'signal'>,
  rows: MetricRows,
  hashes: readonly SeriesHash[],
  range: { readonly fromMs: number; readonly toMs: number },
  points: PointSet,
): Promise<void> {
  const scope = { tenantId: context.tenantId }
  const ids = await seriesIds(metrics, scope, source.id)
  const byId = new Map<number, SeriesHash>()
  for (const [number, hash] of hashes.entries()) {
    const id = ids.get(canonicalKey(rows.keys[number]!))
    if (id !== undefined && hash !== undefined) byId.set(id, hash)
  }
  const all = [...byId.keys()]
  for (let at = 0; at < all.length; at += SERIES_AT_ONCE)
    for await (const part of metrics.scan(scope, all.slice(at, at + SERIES_AT_ONCE), range, signal)) {
      const hash = byId.get(part.seriesId)!
      for (let index = 0; index < part.timesMs.length; index++)
        points.add(hash, Math.round(part.timesMs[index]! * 1000), part.values[index]!)
    }
}

function hex(sum: bigint): string {
  return BigInt.asUintN(64, sum).toString(16).padStart(16, '0')
}
