import type { ColumnOverrides, ColumnPlan } from '../ingestion/column-plan.ts'
import { parsePoints } from '../ingestion/parse-points.ts'
import type { RejectedLine } from '../ingestion/parsed-points.ts'
import type { SeriesKey } from '../metrics/metrics-engine.ts'
import type { InputFile } from './input-file.ts'
import { Progress } from './progress.ts'

/** One row stands for a minute where a table has no times. */
export const ROW_STEP_MS = 60_000

/** A series read from a file: ascending times without doubles (the first of equal times is kept). */
export interface LoadedSeries extends SeriesKey {
  readonly timesMs: Float64Array
  readonly values: Float64Array
}

export interface LoadedFile {
  readonly series: LoadedSeries[]
  readonly points: number
  readonly rejected: RejectedLine[]
  readonly rejectedTotal: number
  readonly columns: ColumnPlan | undefined
  /** Times are row numbers, {@link ROW_STEP_MS} apart, for want of a time column. */
  readonly byRow: boolean
}

/** Reads all points of a file into columns a series; 16 bytes of memory a point. */
export async function loadSeries(file: InputFile, columns: ColumnOverrides): Promise<LoadedFile> {
  const series = new Map<SeriesKey, GrowingSeries>()
  const rejected: RejectedLine[] = []
  let rejectedTotal = 0
  let points = 0
  let plan: ColumnPlan | undefined
  const progress = new Progress('Reading', file.size)
  try {
    for await (const chunk of parsePoints(file.format, file.bytes, { columns, rowStepMs: ROW_STEP_MS })) {
      const { keys, timesMs, values } = chunk.points
      const targets = keys.map((key) => {
        const known = series.get(key) ?? new GrowingSeries()
        series.set(key, known)
        return known
      })
      for (let at = 0; at < timesMs.length; at += 1) {
        targets[chunk.points.series[at]!]!.push(timesMs[at]!, values[at]!)
      }
      points += timesMs.length
      rejected.push(...chunk.rejected)
      rejectedTotal += chunk.rejectedTotal
      plan = chunk.columns
      progress.update(file.position(), `${points.toLocaleString('en-US')} points`)
    }
  } finally {
    progress.stop()
  }
  return {
    series: [...series].map(([key, grown]) => ({ ...key, ...grown.sorted() })),
    points,
    rejected,
    rejectedTotal,
    columns: plan,
    byRow: plan !== undefined && plan.time === undefined,
  }
}

class GrowingSeries {
  #times = new Float64Array(64)
  #values = new Float64Array(64)
  #size = 0
  #ascending = true

  push(timeMs: number, value: number): void {
    if (this.#size === this.#times.length) {
      this.#times = doubled(this.#times)
      this.#values = doubled(this.#values)
    }
    if (this.#size > 0 && timeMs <= this.#times[this.#size - 1]!) this.#ascending = false
    this.#times[this.#size] = timeMs
    this.#values[this.#size] = value
    this.#size += 1
  }

  sorted(): { timesMs: Float64Array; values: Float64Array } {
    const times = this.#times.subarray(0, this.#size)
    const values = this.#values.subarray(0, this.#size)
    if (this.#ascending) return { timesMs: times, values }
    const order = Uint32Array.from(times, (_, at) => at).sort((a, b) => times[a]! - times[b]! || a - b)
    const unique = order.filter((from, at) => at === 0 || times[from] !== times[order[at - 1]!])
    return {
      timesMs: Float64Array.from(unique, (from) => times[from]!),
      values: Float64Array.from(unique, (from) => values[from]!),
    }
  }
}

function doubled(column: Float64Array): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(column.length * 2)
  larger.set(column)
  return larger
}
