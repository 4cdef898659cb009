import fc from 'fast-check'
import { DAY_MS } from './metrics-probe.ts'

const HOUR_MS = 3_600_000

/** Moments of a year around which points lie: when clocks change in Berlin and in New York, and the present. */
const ANCHORS: readonly ((year: number) => number)[] = [
  (year) => sunday(year, 2, 'last') + HOUR_MS,
  (year) => sunday(year, 9, 'last') + HOUR_MS,
  (year) => sunday(year, 2, 'first') + 7 * DAY_MS + 7 * HOUR_MS,
  (year) => sunday(year, 10, 'first') + 6 * HOUR_MS,
  presentOf,
]

/** A time of year, as an anchor and how far from it. */
export const moment = fc.record({
  anchor: fc.nat(ANCHORS.length - 1),
  minutes: fc.oneof(
    fc.integer({ min: -48 * 6, max: 48 * 6 }).map((tens) => tens * 10),
    fc.integer({ min: -50, max: 50 }).map((hours) => hours * 60),
  ),
  micros: fc.constantFrom(0, 0, 0, 0, -1, 1, 59_999_999),
})
export type Moment = typeof moment extends fc.Arbitrary<infer T> ? T : never

/** Epoch milliseconds of a moment in a year. */
export function instantOf({ anchor, minutes, micros }: Moment, year: number): number {
  return (ANCHORS[anchor]!(year) * 1000 + minutes * 60_000_000 + micros) / 1000
}

/** What a run takes for now: all changes of clocks lie in the year before it. */
export function presentOf(year: number): number {
  return Date.UTC(year, 10, 15, 12)
}

/** The start, in UTC, of the first or last Sunday of a month, counted from 0. */
function sunday(year: number, month: number, which: 'first' | 'last'): number {
  const edge = which === 'first' ? new Date(Date.UTC(year, month, 1)) : new Date(Date.UTC(year, month + 1, 0))
  const weekday = edge.getUTCDay()
  return edge.getTime() + (which === 'first' ? (7 - weekday) % 7 : -weekday) * DAY_MS
}
