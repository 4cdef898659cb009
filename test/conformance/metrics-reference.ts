import type { BucketGroup, BucketWidth, MetricBucket } from '../../src/metrics/metric-query.ts'
import {
  type AppendReport,
  type CorrectionReport,
  type MetricPoint,
  POINT_LIMITS,
  type PointBatch,
  type SeriesId,
  type TimeRange,
} from '../../src/metrics/metrics-engine.ts'
import { bucketStartMs } from './metrics-calendar.ts'

/** The same meaning as a metrics engine, in plain maps and without any cleverness: what engines are compared with. */
export class ReferenceMetrics {
  /** By tenant, source and key; each a map of epoch microseconds to value. */
  readonly series = new Map<string, Map<number, number>>()
  readonly #nowMs: number

  constructor(nowMs: number) {
    this.#nowMs = nowMs
  }

  append(tenantId: string, batch: PointBatch): Omit<AppendReport, 'rejected'> {
    const report = { inserted: 0, duplicates: 0, conflicting: 0, rejectedTotal: 0 }
    for (const points of this.#bySeries(tenantId, batch, report).values())
      for (const [instant, given] of Map.groupBy(points.given, ([micros]) => micros)) {
        const [first, ...others] = given.map(([, value]) => value)
        const stored = points.stored.get(instant)
        if (stored === undefined) {
          points.stored.set(instant, first!)
          report.inserted++
        } else if (isSame(stored, first!)) report.duplicates++
        else report.conflicting++
        for (const other of others)
          if (isSame(other, first!)) report.duplicates++
          else report.conflicting++
      }
    return report
  }

  correct(tenantId: string, batch: PointBatch): Omit<CorrectionReport, 'rejected'> {
    const report = { changed: 0, inserted: 0, unchanged: 0, rejectedTotal: 0 }
    for (const points of this.#bySeries(tenantId, batch, report).values())
      for (const [instant, given] of Map.groupBy(points.given, ([micros]) => micros)) {
        const last = given.at(-1)![1]
        const stored = points.stored.get(instant)
        if (stored === undefined) report.inserted++
        else if (isSame(stored, last)) report.unchanged++
        else report.changed++
        report.unchanged += given.length - 1
        points.stored.set(instant, last)
      }
    return report
  }

  points(key: string, range: TimeRange): [timeMs: number, value: number][] {
    return [...this.series.get(key)!]
      .map(([micros, value]) => [micros / 1000, value] as [number, number])
      .filter(([timeMs]) => timeMs >= range.fromMs && timeMs < range.toMs)
      .sort(([a], [b]) => a - b)
  }

  latest(key: string): Omit<MetricPoint, 'seriesId'> | undefined {
    const newest = this.points(key, { fromMs: -Infinity, toMs: Infinity }).at(-1)
    return newest === undefined ? undefined : { timeMs: newest[0], value: newest[1] }
  }

  buckets(key: string, range: TimeRange, bucketSeconds: number): Omit<MetricBucket, 'seriesId'>[] {
    const [id, metric] = [0, '']
    return this.groupedBuckets([{ id, key, metric }], range, { seconds: bucketSeconds }, 'series').map(
      ({ seriesId: _id, ...bucket }) => bucket,
    )
  }

  /** Buckets of groups of series, by the lowest id of the group and time. */
  groupedBuckets(
    series: readonly { readonly id: SeriesId; readonly key: string; readonly metric: string }[],
    range: TimeRange,
    bucket: BucketWidth,
    groupBy: BucketGroup,
  ): MetricBucket[] {
    const sorted = series.toSorted((a, b) => a.id - b.id)
    const groups = Map.groupBy(sorted, ({ id, metric }) =>
      groupBy === 'series' ? String(id) : groupBy === 'metric' ? metric : '',
    )
    return [...groups].flatMap(([group, members]) => {
      // In the order of ids, and then stably by time: the last of several at one instant is that of the highest id.
      const points = members.flatMap(({ key }) => this.points(key, range)).sort(([a], [b]) => a - b)
      const byStart = Map.groupBy(points, ([timeMs]) => bucketStartMs(timeMs, bucket))
      return [...byStart].map(([startMs, inside]) => ({
        seriesId: members[0]!.id,
        ...(groupBy === 'series' ? {} : { group }),
        startMs,
        ...aggregate(inside.map(([, value]) => value)),
      }))
    })
  }

  #bySeries(tenantId: string, batch: PointBatch, report: { rejectedTotal: number }) {
    const touched = new Map<string, { stored: Map<number, number>; given: [number, number][] }>()
    for (const [index, keyIndex] of batch.series.entries()) {
      const timeMs = batch.timesMs[index]!
      const value = batch.values[index]! + 0
      if (!this.#isStorable(batch, timeMs, value)) {
        report.rejectedTotal++
        continue
      }
      const key = referenceKey(tenantId, batch.source.id, batch.keys[keyIndex]!)
      const stored = this.series.get(key) ?? new Map<number, number>()
      this.series.set(key, stored)
      const entry = touched.get(key) ?? { stored, given: [] }
      touched.set(key, entry)
      entry.given.push([Math.round(timeMs * 1000), value])
    }
    return touched
  }

  #isStorable({ source }: PointBatch, timeMs: number, value: number): boolean {
    const keptDays = { forever: Infinity, year: 366, month: 31, week: 7 }[source.retention]
    return (
      timeMs >= POINT_LIMITS.minTimeMs &&
      timeMs <= POINT_LIMITS.maxTimeMs &&
      timeMs >= this.#nowMs - keptDays * 86_400_000 &&
      !(Number.isFinite(value) && Math.abs(value) > POINT_LIMITS.maxAbsoluteValue)
    )
  }
}

export function referenceKey(
  tenantId: string,
  sourceId: string,
  key: { readonly metric: string; readonly tags: Readonly<Record<string, string>> },
): string {
  const tags = Object.entries(key.tags).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([tenantId, sourceId, key.metric, tags])
}

function isSame(a: number, b: number): boolean {
  return a === b || (Number.isNaN(a) && Number.isNaN(b))
}

function aggregate(values: readonly number[]): Omit<MetricBucket, 'seriesId' | 'startMs'> {
  const finite = values.filter(Number.isFinite)
  const or = (value: number) => (finite.length === 0 ? null : value)
  return {
    count: finite.length,
    nonFinite: values.length - finite.length,
    sum: or(finite.reduce((sum, value) => sum + value, 0)),
    min: or(finite.reduce((a, b) => Math.min(a, b), Infinity)),
    max: or(finite.reduce((a, b) => Math.max(a, b), -Infinity)),
    last: or(finite.at(-1) ?? 0),
    sumSquares: or(finite.reduce((sum, value) => sum + value * value, 0)),
  }
}
