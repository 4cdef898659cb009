/** What a person on call feels, over all files: alarms within two hours are one incident. */
export interface AlertQuality {
  readonly windows: number
  readonly windowsCaught: number
  readonly incidents: number
  readonly falseIncidents: number
  readonly seriesDays: number
  readonly eventRecall: number
  readonly precision: number
  readonly falseIncidentsPerSeriesDay: number
}

/** One file in epoch milliseconds: scored span, labelled windows and alarm instants. */
export interface AlertFile {
  readonly fromMs: number
  readonly toMs: number
  readonly windowsMs: readonly (readonly [first: number, last: number])[]
  readonly alarmsMs: readonly number[]
}

const INCIDENT_GAP_MS = 2 * 3_600_000

/** Counts windows caught, and incidents that touch no window. Alarms before `fromMs` (probation) do not count. */
export function alertQuality(files: readonly AlertFile[]): AlertQuality {
  let windows = 0
  let windowsCaught = 0
  let incidents = 0
  let falseIncidents = 0
  let seriesDays = 0
  for (const file of files) {
    const alarms = file.alarmsMs.filter((ms) => ms >= file.fromMs).toSorted((a, b) => a - b)
    seriesDays += (file.toMs - file.fromMs) / 86_400_000
    windows += file.windowsMs.length
    windowsCaught += file.windowsMs.filter(([a, b]) => alarms.some((ms) => ms >= a && ms <= b)).length
    for (const group of groups(alarms)) {
      incidents++
      if (!group.some((ms) => file.windowsMs.some(([a, b]) => ms >= a && ms <= b))) falseIncidents++
    }
  }
  return {
    windows,
    windowsCaught,
    incidents,
    falseIncidents,
    seriesDays,
    eventRecall: windows === 0 ? 1 : windowsCaught / windows,
    precision: incidents === 0 ? 1 : (incidents - falseIncidents) / incidents,
    falseIncidentsPerSeriesDay: falseIncidents / seriesDays,
  }
}

function groups(ascending: readonly number[]): number[][] {
  const found: number[][] = []
  for (const ms of ascending) {
    const last = found.at(-1)
    if (last !== undefined && ms - last.at(-1)! <= INCIDENT_GAP_MS) last.push(ms)
    else found.push([ms])
  }
  return found
}
