import type { Incident, Series } from '../api/entities.ts'
import type { ChartIncident } from '../charts/chart-marks.ts'

const storageKey = (datasetId: string): string => `nomaly.incidents.${datasetId}`

/** Remembers in this browser what the demo planted. */
export function rememberIncidents(datasetId: string, incidents: readonly Incident[]): void {
  try {
    localStorage.setItem(storageKey(datasetId), JSON.stringify(incidents))
  } catch {
    // A browser without storage shows the demo without its brackets.
  }
}

/** What is known to have happened in a series, oldest first. */
export function knownIncidents(datasetId: string, series: Series): ChartIncident[] {
  try {
    const stored = JSON.parse(localStorage.getItem(storageKey(datasetId)) ?? '[]') as Incident[]
    return stored
      .filter((each) => each.metric === series.metric && sameTags(each.tags, series.tags))
      .map((each) => ({ fromMs: Date.parse(each.from), toMs: Date.parse(each.to), what: each.what }))
      .toSorted((a, b) => a.fromMs - b.fromMs)
  } catch {
    return []
  }
}

function sameTags(some: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(some)
  return keys.length === Object.keys(other).length && keys.every((key) => some[key] === other[key])
}
