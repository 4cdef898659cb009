import type { RetentionClass } from './metrics-engine.ts'

/** All retention classes, in the order in which writes take them. */
export const RETENTION_CLASSES: readonly RetentionClass[] = ['forever', 'year', 'month', 'week']

/** How many days the points of a class are kept, at least. */
export const RETENTION_DAYS: Readonly<Record<RetentionClass, number>> = {
  forever: Number.POSITIVE_INFINITY,
  year: 366,
  month: 31,
  week: 7,
}

export const DAY_MS = 86_400_000

/** Points before this time, in epoch milliseconds, are expired at `nowMs`; `-Infinity` where nothing expires. */
export function retentionCutoffMs(retention: RetentionClass, nowMs: number): number {
  return nowMs - RETENTION_DAYS[retention] * DAY_MS
}
