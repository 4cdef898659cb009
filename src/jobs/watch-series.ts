import type { Detector } from '../detectors/detector.ts'
import {
  SeriesMonitor,
  type DetectorSettings,
  type Finding,
  type MonitorSnapshot,
} from '../detection/series-monitor.ts'
import type { PointColumns } from '../metrics/metrics-engine.ts'

/** What is stored of a monitor: its snapshot, and the settings it learnt under. */
export interface StoredMonitor {
  readonly settings: DetectorSettings
  readonly snapshot: MonitorSnapshot
}

/** Continues from a stored monitor, or starts anew where there is none, the settings have changed, or its format is of another version. */
export function resumeMonitor(detector: Detector, stored: unknown): SeriesMonitor {
  const settings = settingsOf(detector)
  const state = stored as StoredMonitor | undefined
  if (state === undefined || JSON.stringify(sorted(state.settings)) !== JSON.stringify(sorted(settings)))
    return new SeriesMonitor(settings)
  try {
    return SeriesMonitor.restore(settings, state.snapshot)
  } catch {
    // A state of another version of the detector: what it has learnt is learnt again from the points.
    return new SeriesMonitor(settings)
  }
}

/** What to store of a monitor. */
export function storedMonitor(detector: Detector, monitor: SeriesMonitor): StoredMonitor {
  return { settings: settingsOf(detector), snapshot: monitor.snapshot() }
}

/**
 * Lets a monitor see points, giving way to other work of the process between slices.
 * @returns each finding once, as it stands after the last point.
 */
export async function observeGently(monitor: SeriesMonitor, columns: PointColumns): Promise<Finding[]> {
  const byStart = new Map<number, Finding>()
  for (let start = 0; start < columns.timesMs.length; start += SLICE) {
    const end = start + SLICE
    for (const finding of monitor.observe(
      columns.timesMs.subarray(start, end),
      columns.values.subarray(start, end),
    ))
      byStart.set(finding.startMs, finding)
    if (end < columns.timesMs.length) await new Promise(setImmediate)
  }
  return [...byStart.values()]
}

/** Points between two pauses: some milliseconds of work. */
const SLICE = 2_000

function settingsOf({ algorithm, parameters, budget }: Detector): DetectorSettings {
  return { algorithm, parameters, budget }
}

// JSONB does not keep the order of keys.
function sorted({ algorithm, parameters, budget }: DetectorSettings): unknown {
  return [
    algorithm,
    Object.entries(parameters).toSorted(([a], [b]) => (a < b ? -1 : 1)),
    budget.alarms,
    budget.perSeconds,
  ]
}
