import { NomalyError } from '../errors.ts'
import { POINT_LIMITS, type PointBatch, type RejectedPoint } from './metrics-engine.ts'
import { keyProblem } from './series-key.ts'

/** Most points that one call takes: it is one transaction, and all of it is held in memory. */
export const MAX_POINTS_PER_CALL = 1_000_000

const MAX_LISTED_REJECTIONS = 100

/** The points of a batch that may be stored, in their order, and what is wrong with the others. */
export interface SoundPoints {
  /** How many; the columns may be longer. */
  readonly count: number
  /** Index into the batch's keys. */
  readonly keys: Uint32Array
  /** Epoch microseconds. */
  readonly micros: Float64Array
  readonly values: Float64Array
  /** Whether a key has a point at all, by its index. */
  readonly keyUsed: Uint8Array
  readonly rejected: readonly RejectedPoint[]
  readonly rejectedTotal: number
}

/**
 * Checks every point against the limits and against `oldestMs(key)`, before which points of that key are expired.
 * @throws NomalyError `too_large` beyond {@link MAX_POINTS_PER_CALL}, `invalid_input` when the columns differ in length.
 */
export function validatePoints(batch: PointBatch, oldestMs: (keyIndex: number) => number): SoundPoints {
  const { series, timesMs, values: given } = batch
  const total = series.length
  requireShape(batch)
  const problems = batch.keys.map(keyProblem)
  const oldest = Float64Array.from(problems, (problem, index) =>
    problem === undefined ? oldestMs(index) : Number.NaN,
  )
  const keys = new Uint32Array(total)
  const micros = new Float64Array(total)
  const values = new Float64Array(total)
  const keyUsed = new Uint8Array(problems.length)
  const rejected: RejectedPoint[] = []
  let rejectedTotal = 0
  let count = 0
  const { minTimeMs, maxTimeMs, maxAbsoluteValue } = POINT_LIMITS
  for (let index = 0; index < total; index++) {
    const key = series[index]!
    const time = timesMs[index]!
    const value = given[index]!
    const isStorable =
      // False for an unknown or unfit key too: its entry is missing or NaN.
      time >= oldest[key]! &&
      time >= minTimeMs &&
      time <= maxTimeMs &&
      !(Math.abs(value) > maxAbsoluteValue && Number.isFinite(value))
    if (isStorable) {
      keys[count] = key
      micros[count] = Math.round(time * 1000)
      // Adding zero turns -0, which equals 0 but prints otherwise, into 0.
      values[count] = value + 0
      keyUsed[key] = 1
      count++
    } else {
      if (rejectedTotal++ < MAX_LISTED_REJECTIONS)
        rejected.push({ index, reason: reasonOf(key, time, value, problems, oldest[key]) })
    }
  }
  return { count, keys, micros, values, keyUsed, rejected, rejectedTotal }
}

function requireShape({ series, timesMs, values }: PointBatch): void {
  if (series.length > MAX_POINTS_PER_CALL)
    throw new NomalyError('too_large', `${series.length} points are too many for one call.`, {
      hint: `Send at most ${MAX_POINTS_PER_CALL} at once.`,
    })
  if (timesMs.length !== series.length || values.length !== series.length)
    throw new NomalyError('invalid_input', 'The columns of a batch of points differ in length.', {
      problems: [{ field: 'points', reason: 'series, times and values must be equally many' }],
    })
}

function reasonOf(
  key: number,
  time: number,
  value: number,
  problems: readonly (string | undefined)[],
  oldestMs: number | undefined,
): string {
  if (key >= problems.length) return `there is no key ${key} in this batch`
  const problem = problems[key]
  if (problem !== undefined) return problem
  const { minTimeMs, maxTimeMs, maxAbsoluteValue } = POINT_LIMITS
  if (Number.isNaN(time)) return 'the time is not a number'
  if (time < minTimeMs || time > maxTimeMs)
    return `the time is outside ${new Date(minTimeMs).toISOString()} to ${new Date(maxTimeMs).toISOString()}`
  if (time < oldestMs!)
    return `the time is before ${new Date(oldestMs!).toISOString()}, which the retention of its source no longer keeps`
  return `the value ${value} is beyond ±${maxAbsoluteValue}`
}
