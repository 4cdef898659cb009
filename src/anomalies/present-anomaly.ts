import type { Anomaly } from './anomaly.ts'

/** An anomaly as HTTP answers and webhooks show it: times as ISO 8601 text. */
export type PresentedAnomaly = {
  [K in keyof Anomaly]: Anomaly[K] extends Date
    ? string
    : Anomaly[K] extends Date | null
      ? string | null
      : Anomaly[K]
}

/** The form of an anomaly that leaves the process. */
export function presentAnomaly(anomaly: Anomaly): PresentedAnomaly {
  return {
    ...anomaly,
    startedAt: anomaly.startedAt.toISOString(),
    endedAt: anomaly.endedAt.toISOString(),
    detectedAt: anomaly.detectedAt.toISOString(),
    peakAt: anomaly.peakAt.toISOString(),
    stateChangedAt: anomaly.stateChangedAt?.toISOString() ?? null,
    createdAt: anomaly.createdAt.toISOString(),
  }
}
