import type { Detector } from '../detectors/detector.ts'
import {
  SeriesMonitor,
  type DetectorSettings,
  type Finding,
  type MonitorSnapshot,
} from '../detection/series-monitor.ts'
import type { PointColumns } from '../metrics/metrics-engine.ts'
import { type SeenPoints, SeenCounter } from './seen-points.ts'

/** What is stored of a monitor: its snapshot, the settings it learnt under, and what it has seen. */
export interface StoredMonitor {
  readonly settings: DetectorSettings
  readonly snapshot: MonitorSnapshot
  /** Left out of states of former versions. */
  readonly seen?: SeenPoints
}

/** A monitor on its way, and what it has seen. */
export interface MonitorAtWork {
  readonly monitor: SeriesMonitor
  readonly seen: SeenCounter
}

/**
 * Continues from a stored monitor, or starts anew where there is none, the settings have changed, or its format is of another version.
 * @param beginning names where a count of seen points begins that begins now.
 */
export function resumeMonitor(detector: Detector, stored: unknown, beginning: string): MonitorAtWork {
  const settings = settingsOf(detector)
  const state = stored as StoredMonitor | undefined
  const anew = (): MonitorAtWork => ({
    monitor: new SeriesMonitor(settings),
    seen: SeenCounter.begin(beginning),
  })
  if (state === undefined || !isSameSettings(state.settings, settings)) return anew()
  try {
    const monitor = SeriesMonitor.restore(settings, state.snapshot)
    return { monitor, seen: SeenCounter.continue(state.seen, beginning) }
  } catch {
    // A state of another version of the detector: what it has learnt is learnt again from the points.
    return anew()
  }
}

/** A monitor as it was at a state, or a new one without it. @throws NomalyError `invalid_input` where this version does not read it. */
export function rebuildMonitor(
  settings: DetectorSettings,
  snapshot: MonitorSnapshot | undefined,
): SeriesMonitor {
  return snapshot === undefined ? new SeriesMonitor(settings) : SeriesMonitor.restore(settings, snapshot)
}

/** Whether two detectors would find the same. */
export function isSameSettings(one: DetectorSettings, other: DetectorSettings): boolean {
  return JSON.stringify(sorted(one)) === JSON.stringify(sorted(other))
}

/** What to store of a monitor. */
export function storedMonitor(detector: Detector, { monitor, seen }: MonitorAtWork): StoredMonitor {
  return { settings: settingsOf(detector), snapshot: monitor.snapshot(), seen: seen.seen }
}

/**
 * Lets a monitor see points, giving way to other work of the process between slices.
 * @returns each finding once, as it stands after the last point.
 */
export async function observeGently(
  { monitor, seen }: MonitorAtWork,
  columns: PointColumns,
): Promise<Finding[]> {
  seen.add(columns)
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
