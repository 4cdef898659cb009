import { InvalidArgumentError, Option, type Command } from 'commander'
import type { PointFormat } from '../../ingestion/parsed-points.ts'
import { parsePoints } from '../../ingestion/parse-points.ts'
import { type PointSurvey, surveyPoints } from '../../ingestion/survey-points.ts'
import type { MetricsEngine, RetentionClass } from '../../metrics/metrics-engine.ts'
import { type DatasetEstimate, estimateDataset } from '../../workflows/estimate-dataset.ts'
import type { ApiClient } from '../api-client.ts'
import { columnOverrides, withColumnOptions, type ColumnFlags } from '../column-options.ts'
import { printEstimate } from '../estimate-report.ts'
import { withExamples } from '../help-examples.ts'
import { openInputFile } from '../input-file.ts'
import { interruptible } from '../interruption.ts'
import { openApiClient, withServer } from '../open-api-client.ts'
import { printJson, withOutput } from '../output.ts'
import { type RemoteFlags, wholeNumber } from '../remote-command.ts'

interface EstimateFlags extends RemoteFlags, ColumnFlags {
  readonly series?: number
  readonly every?: number
  readonly retention: RetentionClass
  readonly engine?: MetricsEngine['name']
}

/** Series that a file may have, so that one can be looked at whose series explode. */
const MAX_SERIES = 1_000_000

const UNIT_SECONDS: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 }

/** Adds `nomaly estimate`. */
export function registerEstimate(program: Command): void {
  const command = program
    .command('estimate')
    .description(
      'Says what a dataset will take before it is made: rows a day, disk, memory. From numbers, or from a file of points, in which ' +
        'series and their interval are counted. Nothing is stored.',
    )
    .argument('[file]', 'CSV, NDJSON or JSON, gzip too; - reads standard input')
    .option('--series <n>', 'how many there will be', wholeNumber)
    .option('--every <interval>', 'from one point of a series to the next: 10s, 5m, 1h', parseInterval)
    .addOption(
      new Option('--retention <class>', 'how long points are kept')
        .choices(['forever', 'year', 'month', 'week'])
        .default('forever'),
    )
    .addOption(
      new Option('--engine <engine>', 'what keeps the points; asked of the server unless given').choices([
        'partitioned',
        'timescale',
      ]),
    )
  withServer(withOutput(withColumnOptions(command)))
  withExamples(command, [
    ['nomaly estimate --series 1000 --every 60s --retention year', 'from numbers'],
    ['nomaly estimate cpu.csv', 'counts series and interval in a file'],
    ['nomaly estimate cpu.csv --series 5000', 'like those of the file, but so many'],
    ['nomaly estimate --series 1000 --every 60s --engine timescale', 'without a server'],
  ])
  command.action(async (path: string | undefined, flags: EstimateFlags) => {
    const sample = path === undefined ? undefined : await survey(path, flags)
    const estimate =
      flags.engine === undefined
        ? await askServer(await openApiClient(flags), flags, sample)
        : estimateDataset(requestOf(flags), sample, flags.engine, {
            maxSeriesPerDataset: Number.POSITIVE_INFINITY,
            freeBytes: undefined,
          })
    if (flags.output === 'table') printEstimate(estimate)
    else printJson(estimate)
  })
}

function survey(path: string, flags: EstimateFlags): Promise<PointSurvey> {
  return interruptible(async (signal) => {
    const format: PointFormat | undefined = flags.format
    const file = await openInputFile(path, format, signal)
    return surveyPoints(
      parsePoints(file.format, file.bytes, { columns: columnOverrides(flags), maxSeries: MAX_SERIES }),
    )
  })
}

/** The server knows its engine, its limits and its disk; a file is counted here, however large it is. */
async function askServer(
  client: ApiClient,
  flags: EstimateFlags,
  sample: PointSurvey | undefined,
): Promise<DatasetEstimate> {
  // Says what is missing before the server is asked, and what the sample itself has to be warned of.
  const here = estimateDataset(requestOf(flags), sample, 'partitioned', {
    maxSeriesPerDataset: Number.POSITIVE_INFINITY,
    freeBytes: undefined,
  })
  const query = new URLSearchParams({
    series: String(here.series),
    everySeconds: String(here.everySeconds),
    retention: here.retention,
    ...(sample === undefined || sample.nameBytes === 0 ? {} : { nameBytes: String(sample.nameBytes) }),
  })
  const estimate = await client.post<DatasetEstimate>(`/v1/estimate?${query}`, undefined)
  return {
    ...estimate,
    ...(sample === undefined ? {} : { sample }),
    warnings: [...here.warnings, ...estimate.warnings],
  }
}

function requestOf({ series, every, retention }: EstimateFlags) {
  return {
    retention,
    ...(series === undefined ? {} : { series }),
    ...(every === undefined ? {} : { everySeconds: every }),
  }
}

/** Reads `90`, `90s`, `5m`, `1h`, `250ms` as seconds. */
function parseInterval(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text.trim())
  const seconds = Number(match?.[1]) * UNIT_SECONDS[match?.[2] ?? 's']!
  if (seconds >= 0.001 && seconds <= 31_536_000) return seconds
  throw new InvalidArgumentError('It must look like 10s, 5m or 1h, and be a millisecond to a year.')
}
