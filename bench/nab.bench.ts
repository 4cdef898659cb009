import { existsSync } from 'node:fs'
import { join } from 'node:path'
import Table from 'cli-table3'
import { validateDetectorSettings } from '../src/detection/algorithms.ts'
import { detectSeries } from '../src/detection/series-monitor.ts'
import type { Benchmark } from './benchmark.ts'
import { atLeast, atMost, type Check, reported } from './checks.ts'
import { HttpClient } from './http-client.ts'
import { startInstance } from './instance.ts'
import { alertQuality } from './nab/alert-quality.ts'
import {
  type Budget,
  loadSeries,
  type NabDetection,
  readAlarms,
  requestDetection,
} from './nab/detect-over-http.ts'
import { nabFiles } from './nab/nab-files.ts'
import { bestThreshold, NAB_PROFILES, nabScore, rawNabScore } from './nab/nab-score.ts'
import { readNab } from './nab/read-nab.ts'

const FOLDER = join(import.meta.dirname, '../../shared/data/nab')
const FLOOR = 45
const SECONDS_PER_DAY = 86_400
/** Beside the default of one a week: does asking for more or fewer alarms bring more or fewer? */
const OTHER_BUDGETS: Readonly<Record<string, Budget>> = {
  'one a month': { alarms: 1, perSeconds: 30 * SECONDS_PER_DAY },
  'one a day': { alarms: 1, perSeconds: SECONDS_PER_DAY },
}
const DEFAULT_PER_DAY = 1 / 7
/** Every alarm that the product raised counts: the one threshold is the budget's, and nothing is tuned to the labels. */
const EVERY_ALARM = 0

/** The Numenta Anomaly Benchmark over HTTP, scored as published and as a person on call would. */
export const nab: Benchmark = {
  summary: 'the Numenta Anomaly Benchmark in over HTTP, detected by the worker, findings read back over HTTP',
  async run({ quick, directory, signal, log, progress }) {
    if (!existsSync(FOLDER)) {
      log(`Left out: the NAB data is not at ${FOLDER}.`)
      return undefined
    }
    const all = readNab(FOLDER)
    await using instance = await startInstance({ dataDirectory: join(directory, 'data'), signal })
    using client = new HttpClient(instance.url, instance.adminKey)
    const datasets: string[] = []
    for (const series of all) {
      datasets.push(await loadSeries(client, FOLDER, series))
      progress(`${datasets.length} of ${all.length} files are in`)
    }
    log(`${datasets.length} files are in`)
    const detectAll = async (what: string, budget?: Budget): Promise<NabDetection[]> => {
      const jobs: string[] = []
      for (const dataset of datasets) jobs.push(await requestDetection(client, dataset, budget))
      const found: NabDetection[] = []
      for (const [at, series] of all.entries()) {
        found.push({ series, alarms: await readAlarms(client, jobs[at]!, signal) })
        progress(`${what}: ${found.length} of ${all.length} series looked at`)
      }
      log(`${what}: ${found.length} series looked at`)
      return found
    }
    const detections = await detectAll('default budget')
    printFiles(detections)
    const checks = [
      ...scores(detections),
      ...quality(detections),
      flatSeries(detections),
      ...straight(detections),
    ]
    if (!quick)
      for (const [name, budget] of Object.entries(OTHER_BUDGETS)) {
        const { falseIncidentsPerSeriesDay } = alertQualityOf(await detectAll(`budget of ${name}`, budget))
        checks.push(
          reported(`false incidents, budget of ${name}`, falseIncidentsPerSeriesDay, '/series/day'),
          reported(
            `false incidents, realised to asked, budget of ${name}`,
            (falseIncidentsPerSeriesDay * budget.perSeconds) / SECONDS_PER_DAY / budget.alarms,
            'ratio',
          ),
        )
      }
    return { checks, versions: { postgresql: instance.postgresVersion } }
  },
}

function scores(detections: readonly NabDetection[]): Check[] {
  const files = filesOf(detections)
  const best = bestThreshold(files, NAB_PROFILES.standard)
  return [
    atLeast('score, standard profile', nabScore(files, EVERY_ALARM, NAB_PROFILES.standard), 'of 100', FLOOR),
    reported(
      'score, few false alarms',
      nabScore(files, EVERY_ALARM, NAB_PROFILES.rewardLowFalsePositives),
      'of 100',
    ),
    reported(
      'score, few misses',
      nabScore(files, EVERY_ALARM, NAB_PROFILES.rewardLowFalseNegatives),
      'of 100',
    ),
    reported('score, standard, at the threshold that suits the labels best', best.score, 'of 100'),
  ]
}

function quality(detections: readonly NabDetection[]): Check[] {
  const found = alertQualityOf(detections)
  return [
    reported('event recall', found.eventRecall, 'of labelled windows'),
    reported('precision', found.precision, 'of incidents'),
    reported(
      'false incidents, default budget of one a week',
      found.falseIncidentsPerSeriesDay,
      '/series/day',
    ),
    reported(
      'false incidents, realised to asked, default budget',
      found.falseIncidentsPerSeriesDay / DEFAULT_PER_DAY,
      'ratio',
    ),
  ]
}

function flatSeries(detections: readonly NabDetection[]): Check {
  const flat = detections.filter(({ series }) => new Set(series.values).size === 1)
  if (flat.length === 0)
    throw new Error('None of the files is flat: whether flat series stay silent was not seen.')
  const findings = flat.reduce((sum, { alarms }) => sum + alarms.length, 0)
  return atMost('findings on flat series', findings, 'findings', 0)
}

/** What the detectors give without API, database and worker between: nothing may be lost on the way. */
function straight(detections: readonly NabDetection[]): Check[] {
  const settings = validateDetectorSettings({ algorithm: 'auto' })
  const files = filesOf(
    detections.map(({ series }) => ({
      series,
      alarms: detectSeries(settings, series.timesMs, series.values).findings,
    })),
  )
  const score = nabScore(files, EVERY_ALARM, NAB_PROFILES.standard)
  return [reported('score, standard, of the detectors without a server', score, 'of 100')]
}

function filesOf(detections: readonly NabDetection[]) {
  return detections.map(({ series, alarms }) => nabFiles(series, alarms).file)
}

function alertQualityOf(detections: readonly NabDetection[]) {
  return alertQuality(detections.map(({ series, alarms }) => nabFiles(series, alarms).alert))
}

function printFiles(detections: readonly NabDetection[]): void {
  const table = new Table({
    head: ['file', 'raw score', 'windows caught', 'false incidents', 'days', 'alarms'],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [], compact: true },
  })
  for (const { series, alarms } of detections) {
    const { file, alert } = nabFiles(series, alarms)
    const { windows, windowsCaught, falseIncidents, seriesDays } = alertQuality([alert])
    table.push([
      series.name,
      rawNabScore(file, EVERY_ALARM, NAB_PROFILES.standard).toFixed(2),
      `${windowsCaught} of ${windows}`,
      falseIncidents,
      seriesDays.toFixed(0),
      alarms.length,
    ])
  }
  console.log(table.toString())
}
