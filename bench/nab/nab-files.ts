import type { AlertFile } from './alert-quality.ts'
import { type NabFile, probationPoints } from './nab-score.ts'
import type { NabSeries } from './read-nab.ts'

/** An alarm of a finding: when it was raised and with which score. */
export interface RaisedAlarm {
  readonly detectedMs: number
  readonly detectedScore: number
}

/** One series with its alarms, as the two ways of scoring want it. */
export function nabFiles(
  series: NabSeries,
  alarms: readonly RaisedAlarm[],
): { readonly file: NabFile; readonly alert: AlertFile } {
  const { name, timesMs, windowsMs } = series
  const position = (ms: number): number => timesMs.findIndex((t) => t >= ms)
  const file = {
    name,
    points: timesMs.length,
    windows: windowsMs.map(
      ([first, last]) => [position(first), timesMs.findLastIndex((t) => t <= last)] as const,
    ),
    alarms: alarms.map(({ detectedMs, detectedScore }) => ({
      index: position(detectedMs),
      score: detectedScore,
    })),
  }
  const alert = {
    fromMs: timesMs[probationPoints(file.points)]!,
    toMs: timesMs.at(-1)!,
    windowsMs,
    alarmsMs: alarms.map(({ detectedMs }) => detectedMs),
  }
  return { file, alert }
}
