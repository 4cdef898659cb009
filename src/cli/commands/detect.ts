import { Option, type Command } from 'commander'
import { ALGORITHMS, validateDetectorSettings } from '../../detection/algorithms.ts'
import { detectSeries } from '../../detection/series-monitor.ts'
import { NomalyError } from '../../errors.ts'
import { detectionReport, printDetection, type SeriesResult } from '../detection-report.ts'
import { EXIT_CODES } from '../exit-codes.ts'
import { withExamples } from '../help-examples.ts'
import { openInputFile } from '../input-file.ts'
import { loadSeries } from '../load-series.ts'
import { print, printJson, withOutput, type OutputFormat } from '../output.ts'
import { Progress } from '../progress.ts'
import { parseBudget } from '../parse-budget.ts'
import { withColumnOptions, columnOverrides, type ColumnFlags } from '../column-options.ts'

interface DetectFlags extends ColumnFlags {
  readonly output: OutputFormat
  readonly budget: string
  readonly algorithm: string
  readonly metric?: string
  readonly failOnFindings?: boolean
}

/** Adds `nomaly detect`. */
export function registerDetect(program: Command): void {
  const command = program
    .command('detect')
    .description(
      'Finds anomalies in a CSV, NDJSON or JSON file, right here and without a server: nothing is stored.\n' +
        'Each point is judged by what came before it, as it would have been live.',
    )
    .argument('<file>', 'file to read, gzip too; - reads standard input')
    .option('-b, --budget <budget>', 'false alarms you accept, per series', '1 per week')
    .addOption(
      new Option('-a, --algorithm <name>', 'how to judge; auto picks one for each series and says why')
        .choices(ALGORITHMS.map(({ name }) => name))
        .default('auto'),
    )
    .option('-m, --metric <name>', 'look at this metric only')
    .option('--fail-on-findings', `exit with ${EXIT_CODES.findings} when something is found`)
  withOutput(withColumnOptions(command))
  withExamples(command, [
    ['nomaly detect cpu.csv', 'columns are recognised'],
    ['nomaly detect cpu.csv --budget "1 per month"', 'fewer, surer alarms'],
    ['nomaly detect sales.csv --value-column revenue --tag-column shop', 'one series per shop'],
    ['curl -s https://example.org/metrics.csv | nomaly detect -', 'from a pipe'],
    ['nomaly detect cpu.csv -o ndjson --fail-on-findings', 'a line of JSON a finding; exit code 3'],
  ])
  command.action(detect)
}

async function detect(path: string, flags: DetectFlags): Promise<void> {
  const settings = validateDetectorSettings({ algorithm: flags.algorithm, budget: parseBudget(flags.budget) })
  const file = await openInputFile(path, flags.format)
  const loaded = await loadSeries(file, columnOverrides(flags))
  if (loaded.points === 0) throw nothingRead(file.name, loaded.rejected[0])
  const chosen = loaded.series.filter(({ metric }) => flags.metric === undefined || metric === flags.metric)
  if (chosen.length === 0) throw noSuchMetric(flags.metric!, loaded.series)
  const progress = new Progress('Looking', chosen.length)
  const results = chosen.map((series, at): SeriesResult => {
    progress.update(at, `${at} of ${chosen.length} series`)
    const { findings, choice, band } = detectSeries(settings, series.timesMs, series.values, {
      band: flags.output === 'table',
    })
    return { series, findings, choice, band }
  })
  progress.stop()
  if (flags.output === 'table') printDetection(file, loaded, results, settings.budget)
  else {
    const report = detectionReport(file, loaded, results)
    if (flags.output === 'json') printJson(report)
    else {
      for (const { metric, tags, findings } of report.series) {
        for (const finding of findings) print(JSON.stringify({ metric, tags, ...finding }))
      }
    }
  }
  const found = results.some(({ findings }) => findings.length > 0)
  if (found && flags.failOnFindings === true) process.exitCode = EXIT_CODES.findings
}

function nothingRead(name: string, first: { line: number; reason: string } | undefined): NomalyError {
  const why =
    first === undefined ? 'it is empty, or holds a header only' : `line ${first.line}: ${first.reason}`
  return new NomalyError('invalid_input', `No points were found in ${name}: ${why}.`, {
    hint: 'docs/reference/formats.md shows what is accepted; --format says which format it is.',
  })
}

function noSuchMetric(metric: string, series: readonly { metric: string }[]): NomalyError {
  const names = [...new Set(series.map((one) => one.metric))].slice(0, 20).join(', ')
  return new NomalyError('invalid_input', `There is no metric "${metric}" in the file.`, {
    hint: `There are: ${names}.`,
  })
}
