import type { Run } from '../api/entities.ts'

/** How far a run is, 0 to 1; `undefined` while that cannot be known. */
export function runProgress(run: Run): number | undefined {
  if (run.seriesTotal === 0) return undefined
  return Math.min(1, run.seriesDone / run.seriesTotal)
}
