import type { TimeColumn } from './column-plan.ts'
import { parseClock, parseTimeAs } from './parse-time.ts'

/** Makes the reader of a row's time: epoch milliseconds, NaN when it cannot be read. */
export function timeReader(time: TimeColumn): (row: readonly string[]) => number {
  const { index, clockIndex, format } = time
  if (clockIndex === undefined) return (row) => parseTimeAs(format, row[index] ?? '')
  return (row) => parseTimeAs(format, row[index] ?? '') + parseClock(row[clockIndex] ?? '')
}
