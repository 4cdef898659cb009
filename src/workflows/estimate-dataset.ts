import { statfs } from 'node:fs/promises'
import type { Config } from '../config/profiles.ts'
import { invalidField } from '../errors.ts'
import type { PointSurvey } from '../ingestion/survey-points.ts'
import { estimateMetrics, type ExpectedMetrics, type MetricsEstimate } from '../metrics/estimate.ts'
import type { MetricsEngine } from '../metrics/metrics-engine.ts'

/** What is known beforehand; what is left out is counted in the sample. */
export type EstimateRequest = Pick<ExpectedMetrics, 'retention'> &
  Partial<Pick<ExpectedMetrics, 'series' | 'everySeconds' | 'nameBytes'>>

export interface DatasetEstimate extends MetricsEstimate {
  readonly everySeconds: number
  readonly retention: ExpectedMetrics['retention']
  /** Left out where there was no sample. */
  readonly sample?: PointSurvey
  /** Sentences on what is too much, or will grow. */
  readonly warnings: readonly string[]
}

export interface EstimateLimits {
  readonly maxSeriesPerDataset: number
  /** Where points will lie; `undefined` where nobody knows. */
  readonly freeBytes: number | undefined
}

/**
 * Says what a dataset will take before it is made, and warns where that is too much.
 * @throws NomalyError `invalid_input` where a number is neither given nor to be had from the sample.
 */
export function estimateDataset(
  request: EstimateRequest,
  sample: PointSurvey | undefined,
  engine: MetricsEngine['name'],
  limits: EstimateLimits,
): DatasetEstimate {
  const series = request.series ?? sample?.series
  const everySeconds = request.everySeconds ?? sample?.everySeconds
  if (series === undefined || series === 0)
    throw invalidField('series', 'give a number above 0, or a sample that has points')
  if (everySeconds === undefined)
    throw invalidField(
      'everySeconds',
      'give it, or a sample in which a series has points at two times at least',
    )
  const nameBytes = request.nameBytes ?? sample?.nameBytes
  const estimate = estimateMetrics(
    { series, everySeconds, retention: request.retention, ...(nameBytes === undefined ? {} : { nameBytes }) },
    engine,
  )
  return {
    ...estimate,
    everySeconds,
    retention: request.retention,
    ...(sample === undefined ? {} : { sample }),
    warnings: [...warningsOf(estimate, sample, limits)],
  }
}

/** Free bytes of the disk of the embedded server; `undefined` where the database is another one's. */
export async function freeDiskBytes(
  config: Pick<Config, 'databaseUrl' | 'metricsDatabaseUrl' | 'dataDirectory'>,
): Promise<number | undefined> {
  if ((config.metricsDatabaseUrl ?? config.databaseUrl) !== undefined) return undefined
  try {
    const { bavail, bsize } = await statfs(config.dataDirectory)
    return bavail * bsize
  } catch {
    return undefined
  }
}

function* warningsOf(
  estimate: MetricsEstimate,
  sample: PointSurvey | undefined,
  { maxSeriesPerDataset, freeBytes }: EstimateLimits,
): Generator<string> {
  const number = (count: number): string => count.toLocaleString('en')
  if (sample?.exploding !== undefined) {
    const { field, values } = sample.exploding
    yield `The series grow with the rows: ${field} has ${number(values)} different values among ${number(sample.points)} points. A tag names where a series comes from and has few values: leave it out.`
  }
  if (estimate.series > maxSeriesPerDataset)
    yield `${number(estimate.series)} series are more than the ${number(maxSeriesPerDataset)} that NOMALY_MAX_SERIES_PER_DATASET allows.`
  const { full, fullAfterDays } = estimate.disk
  if (freeBytes !== undefined && full.total > freeBytes)
    yield `After ${number(fullAfterDays)} days it takes ${gigabytes(full.total)}, and ${gigabytes(freeBytes)} are free now.`
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toLocaleString('en', { maximumSignificantDigits: 3 })} GB`
}
