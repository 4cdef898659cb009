// Prints the NAB table straight from the detectors, without a server: node bench/nab/score-offline.ts [algorithm] [alarms per week]
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { validateDetectorSettings } from '../../src/detection/algorithms.ts'
import { detectSeries } from '../../src/detection/series-monitor.ts'
import { alertQuality } from './alert-quality.ts'
import type { AlertFile } from './alert-quality.ts'
import { nabFiles } from './nab-files.ts'
import { bestThreshold, NAB_PROFILES, nabScore, rawNabScore } from './nab-score.ts'
import type { NabFile } from './nab-score.ts'
import { readNab } from './read-nab.ts'

const folder = fileURLToPath(new URL('../../../shared/data/nab', import.meta.url))
if (!existsSync(folder)) {
  console.error(`The NAB data is not at ${folder}.`)
  process.exit(1)
}
const alarms = Number(process.argv[3] ?? 1)
const settings = validateDetectorSettings({
  algorithm: process.argv[2] ?? 'auto',
  budget: { alarms, perSeconds: 604_800 },
})
const files: NabFile[] = []
const alerts: AlertFile[] = []
for (const series of readNab(folder)) {
  const { findings, choice } = detectSeries(settings, series.timesMs, series.values)
  const { file, alert } = nabFiles(series, findings)
  files.push(file)
  alerts.push(alert)
  const q = alertQuality([alert])
  const raw = rawNabScore(file, 0, NAB_PROFILES.standard).toFixed(2).padStart(6)
  console.log(
    `${series.name.padEnd(56)} ${raw}  caught ${q.windowsCaught}/${q.windows}  false ${q.falseIncidents} in ${q.seriesDays.toFixed(0)} days  ${choice?.algorithm}: ${choice?.reason}`,
  )
}
for (const [name, profile] of Object.entries(NAB_PROFILES)) {
  const best = bestThreshold(files, profile)
  console.log(
    `${name}: ${nabScore(files, 0, profile).toFixed(1)} at the budget, ${best.score.toFixed(1)} at the best single threshold (${best.threshold.toFixed(3)})`,
  )
}
const quality = alertQuality(alerts)
console.log(
  `event recall ${quality.eventRecall.toFixed(2)}, precision ${quality.precision.toFixed(2)}, false incidents per series and day ${quality.falseIncidentsPerSeriesDay.toFixed(3)} (asked: ${(alarms / 7).toFixed(3)})`,
)
