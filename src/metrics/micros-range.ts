import { POINT_LIMITS, type TimeRange } from './metrics-engine.ts'

/** Half-open range in epoch microseconds. */
export interface MicrosRange {
  readonly fromMicros: number
  readonly toMicros: number
}

/** A range in microseconds, cut to what points can have; it may be empty, or end before it begins. */
export function microsRange({ fromMs, toMs }: TimeRange): MicrosRange {
  return {
    fromMicros: Math.ceil(Math.max(fromMs, POINT_LIMITS.minTimeMs) * 1000),
    toMicros: Math.ceil(Math.min(toMs, POINT_LIMITS.maxTimeMs + 1) * 1000),
  }
}
