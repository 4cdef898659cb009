import type { RetentionClass, SeriesId } from './metrics-engine.ts'
import type { PartitionMap } from './partition-map.ts'
import type { PointRows } from './copy-encoder.ts'
import type { SoundPoints } from './point-validation.ts'
import { RETENTION_CLASSES } from './retention.ts'
import type { KnownSeries } from './series-cache.ts'

/** A run of ordered points that lie in one partition. */
export interface PartitionRun {
  readonly retention: RetentionClass
  readonly start: number
  readonly end: number
  /** Bounds of the partition in epoch microseconds; the upper one is outside. */
  readonly lowerMicros: number
  readonly upperMicros: number
}

/**
 * Points by partition, series and time, each instant once. All writers take this order, so that two of them wait for, and
 * never block, one another; and index pages are touched one after the other.
 */
export interface OrderedPoints extends PointRows {
  readonly count: number
  readonly runs: readonly PartitionRun[]
  /** Index of the newest point of each series that has one, by retention class and id. */
  readonly newest: Uint32Array
  /** Points left out because their instant stands in the batch already, with the same value or with another. */
  readonly duplicates: number
  readonly conflicting: number
}

/**
 * Orders points; of several at one instant of one series the `winner` stays.
 * @throws UnknownPartitions when `partitions` lacks some.
 */
export function orderPoints(
  sound: SoundPoints,
  byKey: readonly (KnownSeries | undefined)[],
  partitions: PartitionMap,
  winner: 'first' | 'last',
): OrderedPoints {
  const distinct = distinctSeries(byKey)
  const rankOfId = new Map(distinct.map(({ id }, rank) => [id, rank]))
  const rankOfKey = Uint32Array.from(byKey, (known) => (known === undefined ? 0 : rankOfId.get(known.id)!))
  const ranks = new Uint32Array(sound.count)
  for (let i = 0; i < ranks.length; i++) ranks[i] = rankOfKey[sound.keys[i]!]!
  const all = stableOrder(undefined, ranks, distinct.length)
  sortTimesWithinSeries(all, ranks, sound.micros)
  const { order: bySeries, duplicates, conflicting } = withoutRepeats(all, ranks, sound, winner)

  const cells = partitions.locate(bySeries, sound.micros, (item) => distinct[ranks[item]!]!.retention)
  const order = cells.ranges.length <= 1 ? bySeries : stableOrder(bySeries, cells.cellOf, cells.ranges.length)
  const count = order.length
  const ids = new Int32Array(count)
  const micros = new Float64Array(count)
  const values = new Float64Array(count)
  const newest = new Int32Array(distinct.length).fill(-1)
  for (let i = 0; i < count; i++) {
    const from = order[i]!
    const rank = ranks[from]!
    ids[i] = distinct[rank]!.id
    micros[i] = sound.micros[from]!
    values[i] = sound.values[from]!
    // Partitions ascend in time within a class, so that the last one seen is the newest.
    newest[rank] = i
  }
  const runs: PartitionRun[] = []
  let start = 0
  for (const range of cells.ranges) {
    runs.push({ ...range, start, end: start + range.count })
    start += range.count
  }
  // A series whose points were all refused has none.
  const present = Uint32Array.from(newest.filter((index) => index >= 0))
  return { count, ids, micros, values, runs, newest: present, duplicates, conflicting }
}

/** Each series once, by retention class and id. */
function distinctSeries(byKey: readonly (KnownSeries | undefined)[]): KnownSeries[] {
  const byId = new Map<SeriesId, KnownSeries>()
  for (const known of byKey) if (known !== undefined) byId.set(known.id, known)
  const place = (known: KnownSeries) => RETENTION_CLASSES.indexOf(known.retention)
  return [...byId.values()].sort((a, b) => place(a) - place(b) || a.id - b.id)
}

/** Counting sort of `items` (all indexes, when left out) by a small rank of each; equal ranks keep their order. */
function stableOrder(items: Uint32Array | undefined, ranks: Uint32Array, rankCount: number): Uint32Array {
  const count = items === undefined ? ranks.length : items.length
  const next = new Uint32Array(rankCount + 1)
  for (let i = 0; i < count; i++) next[ranks[items === undefined ? i : items[i]!]! + 1]!++
  for (let rank = 1; rank < next.length; rank++) next[rank]! += next[rank - 1]!
  const order = new Uint32Array(count)
  for (let i = 0; i < count; i++) {
    const item = items === undefined ? i : items[i]!
    order[next[ranks[item]!]!++] = item
  }
  return order
}

/** Sorts by time inside each series, but only those that do not arrive so. */
function sortTimesWithinSeries(order: Uint32Array, ranks: Uint32Array, micros: Float64Array): void {
  for (let start = 0; start < order.length;) {
    const rank = ranks[order[start]!]!
    let end = start + 1
    let isSorted = true
    for (; end < order.length && ranks[order[end]!] === rank; end++)
      if (micros[order[end]!]! < micros[order[end - 1]!]!) isSorted = false
    // By index where times are equal: the first of them stays the first.
    if (!isSorted) order.subarray(start, end).sort((a, b) => micros[a]! - micros[b]! || a - b)
    start = end
  }
}

function withoutRepeats(
  order: Uint32Array,
  ranks: Uint32Array,
  { micros, values }: SoundPoints,
  winner: 'first' | 'last',
): { order: Uint32Array; duplicates: number; conflicting: number } {
  let kept = 0
  let duplicates = 0
  let conflicting = 0
  for (let i = 0; i < order.length; i++) {
    const item = order[i]!
    const previous = kept === 0 ? -1 : order[kept - 1]!
    if (previous < 0 || micros[item] !== micros[previous] || ranks[item] !== ranks[previous])
      order[kept++] = item
    else {
      if (Object.is(values[item], values[previous])) duplicates++
      else conflicting++
      if (winner === 'last') order[kept - 1] = item
    }
  }
  return { order: order.subarray(0, kept), duplicates, conflicting }
}
