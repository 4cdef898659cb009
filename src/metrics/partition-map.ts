import type { RetentionClass } from './metrics-engine.ts'
import { DAY_MS, RETENTION_CLASSES } from './retention.ts'

/** Bounds of a partition in epoch microseconds; the upper one is outside. */
export interface PartitionRange {
  readonly lowerMicros: number
  readonly upperMicros: number
}

/** Which partitions a list of points touches. */
export interface PartitionCells {
  /** By retention class and time, with how many of the points lie in each. */
  readonly ranges: readonly (PartitionRange & {
    readonly retention: RetentionClass
    readonly count: number
  })[]
  /** Index into `ranges`, by point. */
  readonly cellOf: Uint32Array
}

/** Points lie in partitions that are not known, and perhaps not there: by class, the starts of their days in epoch ms. */
export class UnknownPartitions extends Error {
  readonly days: ReadonlyMap<RetentionClass, ReadonlySet<number>>

  constructor(days: ReadonlyMap<RetentionClass, ReadonlySet<number>>) {
    super('points lie in partitions that are not known yet')
    this.days = days
  }
}

interface Cell extends PartitionRange {
  readonly retention: RetentionClass
  readonly found: number
  count: number
}

/** The partitions that are known to exist, by retention class. */
export class PartitionMap {
  readonly #ranges = new Map<RetentionClass, PartitionRange[]>(RETENTION_CLASSES.map((one) => [one, []]))

  add(retention: RetentionClass, range: PartitionRange): void {
    const ranges = this.#ranges.get(retention)!
    if (search(ranges, range.lowerMicros) !== undefined) return
    ranges.push(range)
    ranges.sort((a, b) => a.lowerMicros - b.lowerMicros)
  }

  /** Forgets the partitions of a class that end at or before an instant. */
  forget(retention: RetentionClass, untilMicros: number): void {
    const ranges = this.#ranges.get(retention)!
    this.#ranges.set(
      retention,
      ranges.filter((range) => range.upperMicros > untilMicros),
    )
  }

  /** Checks that every instant has a partition of the class. @throws UnknownPartitions naming all that are missing. */
  require(retention: RetentionClass, micros: Float64Array): void {
    const ranges = this.#ranges.get(retention)!
    const missing = new Set<number>()
    let last: PartitionRange | undefined
    for (const instant of micros) {
      if (last !== undefined && instant >= last.lowerMicros && instant < last.upperMicros) continue
      const range = search(ranges, instant)
      if (range === undefined) missing.add(dayOf(instant))
      else last = range
    }
    if (missing.size > 0) throw new UnknownPartitions(new Map([[retention, missing]]))
  }

  /**
   * Finds the partition of each of `items`, indexes into `micros`.
   * @throws UnknownPartitions naming all that are missing.
   */
  locate(
    items: Uint32Array,
    micros: Float64Array,
    retentionOf: (item: number) => RetentionClass,
  ): PartitionCells {
    const cells = new Map<PartitionRange, Cell>()
    const missing = new Map<RetentionClass, Set<number>>()
    const cellOf = new Uint32Array(micros.length)
    let last: Cell | undefined
    for (const item of items) {
      const retention = retentionOf(item)
      const instant = micros[item]!
      if (
        last === undefined ||
        last.retention !== retention ||
        instant < last.lowerMicros ||
        instant >= last.upperMicros
      ) {
        const range = search(this.#ranges.get(retention)!, instant)
        if (range === undefined) {
          const days = missing.get(retention) ?? new Set()
          missing.set(retention, days.add(dayOf(instant)))
          continue
        }
        last = cells.get(range) ?? { ...range, retention, found: cells.size, count: 0 }
        cells.set(range, last)
      }
      last.count++
      cellOf[item] = last.found
    }
    if (missing.size > 0) throw new UnknownPartitions(missing)
    return inOrder([...cells.values()], items, cellOf)
  }
}

/** Numbers the cells by class and time instead of by when they were met. */
function inOrder(found: readonly Cell[], items: Uint32Array, cellOf: Uint32Array): PartitionCells {
  const place = (cell: Cell) => RETENTION_CLASSES.indexOf(cell.retention)
  const ranges = found.toSorted((a, b) => place(a) - place(b) || a.lowerMicros - b.lowerMicros)
  const renumbered = new Uint32Array(found.length)
  for (const [index, cell] of ranges.entries()) renumbered[cell.found] = index
  if (found.length > 1) for (const item of items) cellOf[item] = renumbered[cellOf[item]!]!
  return { ranges, cellOf }
}

/** The range that holds an instant, among ranges in ascending order. */
function search(ranges: readonly PartitionRange[], instant: number): PartitionRange | undefined {
  let low = 0
  let high = ranges.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ranges[middle]!.upperMicros <= instant) low = middle + 1
    else high = middle
  }
  const range = ranges[low]
  return range !== undefined && range.lowerMicros <= instant ? range : undefined
}

function dayOf(micros: number): number {
  return Math.floor(micros / 1000 / DAY_MS) * DAY_MS
}
