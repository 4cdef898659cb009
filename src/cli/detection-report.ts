import type { BandColumns, Finding } from '../detection/finding.ts'
import { formatDuration, formatValue } from '../detection/format-quantity.ts'
import type { FalseAlarmBudget } from '../detection/detector-settings.ts'
import type { MonitorChoice } from '../detection/series-monitor.ts'
import { count, formatBudget, formatTime, seriesName } from './format-cells.ts'
import type { InputFile } from './input-file.ts'
import { ROW_STEP_MS, type LoadedFile, type LoadedSeries } from './load-series.ts'
import { note, paint, print, tableLines, terminalWidth } from './output.ts'
import { wrapped } from './wrap-text.ts'
import { plotSeries, SEVERITY_STYLES } from './series-plot.ts'

export interface SeriesResult {
  readonly series: LoadedSeries
  readonly findings: readonly Finding[]
  readonly choice: MonitorChoice | undefined
  readonly band: BandColumns | undefined
}

/** Quiet series are drawn too as long as all series fit on some screens. */
const DRAW_ALL_UP_TO = 4
const REJECTED_SHOWN = 5

/** Prints series with findings as plot and table, the quiet ones in brief, and a summary. */
export function printDetection(
  file: InputFile,
  loaded: LoadedFile,
  results: readonly SeriesResult[],
  budget: FalseAlarmBudget,
): void {
  const moment = loaded.byRow ? (ms: number): string => `row ${rowOf(ms)}` : formatTime
  printColumns(loaded)
  const quiet = results.filter(({ findings }) => findings.length === 0)
  for (const result of results) {
    if (result.findings.length > 0 || results.length <= DRAW_ALL_UP_TO)
      printSeries(result, moment, loaded.byRow)
  }
  if (results.length > DRAW_ALL_UP_TO && quiet.length > 0) {
    print(`${paint('dim', 'Quiet:')} ${count(quiet.length, 'series', 'series')} without findings`)
  }
  printRejected(loaded)
  const found = results.reduce((sum, { findings }) => sum + findings.length, 0)
  const noisy = results.length - quiet.length
  const where =
    results.length === 1
      ? ''
      : ` in ${noisy.toLocaleString('en-US')} of ${count(results.length, 'series', 'series')}`
  const verdict =
    found === 0 ? paint('green', 'Nothing unusual') : paint('bold', count(found, 'finding') + where)
  const scope = `${count(loaded.points, 'point')} of ${file.name}`
  print(`${verdict} ${paint('dim', `· ${scope} · budget: ${formatBudget(budget)} and series`)}`)
}

function printColumns({ columns, byRow }: LoadedFile): void {
  if (columns === undefined) return
  if (byRow)
    note(`${paint('yellow', 'No time column:')} rows are taken as one a minute; --time-column names one.`)
  else if (columns.time?.ambiguous === true) {
    note(`${paint('yellow', 'Dates:')} "${columns.time.name}": ${columns.time.reason}`)
  }
}

function printSeries(
  { series, findings, choice, band }: SeriesResult,
  moment: (ms: number) => string,
  byRow: boolean,
): void {
  const { timesMs } = series
  const [first, last] = [timesMs[0]!, timesMs.at(-1)!]
  const facts = [
    count(timesMs.length, 'point'),
    `${moment(first)} to ${moment(last)}`,
    ...(timesMs.length > 1 && !byRow ? [`every ${formatDuration(usualStep(timesMs))}`] : []),
  ]
  print(`${paint('bold', seriesName(series.metric, series.tags))}  ${paint('dim', facts.join(' · '))}`)
  print(
    choice === undefined
      ? paint('dim', 'Too few points to learn what is normal.')
      : `${paint('cyan', choice.algorithm)}${paint('dim', `: ${choice.reason}`)}`,
  )
  for (const line of plotSeries({ ...series, findings, band, width: terminalWidth(), formatTime: moment }))
    print(line)
  if (findings.length > 0) {
    print()
    printFindings(findings, (finding) => period(finding, moment, byRow))
  }
  print()
}

/** A line of facts a finding, and below it the sentence that explains it. */
function printFindings(findings: readonly Finding[], when: (finding: Finding) => string): void {
  const [head, ...rows] = tableLines(findings, [
    ['When', when],
    ['Severity', ({ severity }) => paint(SEVERITY_STYLES[severity], severity)],
    ['Observed', ({ observed }) => formatValue(observed)],
    ['Expected', ({ lower, upper }) => `${formatValue(lower)} … ${formatValue(upper)}`],
  ]).split('\n')
  print(head)
  for (const [at, { explanation }] of findings.entries()) {
    print(rows[at])
    for (const line of wrapped(explanation, terminalWidth() - 2)) print(paint('dim', `  ${line}`))
  }
}

/** `2026-01-31 12:00 +2 h` : the start, and how long it lasted. */
function period({ startMs, endMs }: Finding, moment: (ms: number) => string, byRow: boolean): string {
  if (endMs === startMs) return moment(startMs)
  if (byRow) return `rows ${rowOf(startMs)}–${rowOf(endMs)}`
  return `${moment(startMs)} +${formatDuration(endMs - startMs)}`
}

function rowOf(ms: number): number {
  return Math.round(ms / ROW_STEP_MS) + 1
}

function usualStep(timesMs: Float64Array): number {
  const steps = timesMs.slice(1, 1001).map((ms, at) => ms - timesMs[at]!)
  return steps.sort()[steps.length >> 1]!
}

/** Says on standard error which lines were not read. */
export function printRejected({
  rejected,
  rejectedTotal,
}: Pick<LoadedFile, 'rejected' | 'rejectedTotal'>): void {
  if (rejectedTotal === 0) return
  note(paint('yellow', `${count(rejectedTotal, 'line was', 'lines were')} not read:`))
  for (const { line, reason } of rejected.slice(0, REJECTED_SHOWN)) note(`  line ${line}: ${reason}`)
  if (rejectedTotal > REJECTED_SHOWN)
    note(`  … and ${(rejectedTotal - REJECTED_SHOWN).toLocaleString('en-US')} more`)
}

/** The result of `detect` as JSON: findings have the form of the API's anomalies; without times, rows instead. */
export function detectionReport(file: InputFile, loaded: LoadedFile, results: readonly SeriesResult[]) {
  return {
    file: file.name,
    format: file.format,
    points: loaded.points,
    columns: loaded.columns ?? null,
    series: results.map(({ series, findings, choice }) => ({
      metric: series.metric,
      tags: series.tags,
      points: series.timesMs.length,
      ...range(series.timesMs, loaded.byRow),
      detector: choice ?? null,
      findings: findings.map((finding) => findingJson(finding, loaded.byRow)),
    })),
    findings: results.reduce((sum, { findings }) => sum + findings.length, 0),
    rejected: loaded.rejected,
    rejectedTotal: loaded.rejectedTotal,
  }
}

function range(timesMs: Float64Array, byRow: boolean) {
  const [from, to] = [timesMs[0]!, timesMs.at(-1)!]
  return byRow ? { fromRow: rowOf(from), toRow: rowOf(to) } : { from: iso(from), to: iso(to) }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}

function findingJson(finding: Finding, byRow: boolean) {
  const { startMs, endMs, detectedMs, peakMs, open, ...rest } = finding
  return {
    ...(byRow
      ? {
          startedRow: rowOf(startMs),
          endedRow: rowOf(endMs),
          detectedRow: rowOf(detectedMs),
          peakRow: rowOf(peakMs),
        }
      : { startedAt: iso(startMs), endedAt: iso(endMs), detectedAt: iso(detectedMs), peakAt: iso(peakMs) }),
    ...rest,
    ongoing: open,
  }
}
