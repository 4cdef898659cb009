import type { JsonAnswer } from '../support/json-answer.ts'
import type { Installation } from './installation.ts'
import { pointKey } from './generated-data.ts'

/** Every stored point of a dataset. */
export async function exportPoints(
  installation: Installation,
  dataset: string,
): Promise<Map<string, number>> {
  const points = new Map<string, number>()
  for (const series of await installation.list(`/v1/datasets/${dataset}/series?limit=500`)) {
    const answer = await installation.ask('GET', `/v1/series/${series.id}/points?limit=200000`)
    if (answer.truncated) throw new Error('A series is longer than what one answer holds.')
    for (const [index, timeMs] of answer.timesMs.entries())
      points.set(pointKey(series, timeMs), answer.values[index])
    if (new Set(answer.timesMs).size !== answer.timesMs.length) throw new Error('A point is there twice.')
  }
  return points
}

const BY_NATURE = new Set([
  'id',
  'jobId',
  'runId',
  'datasetId',
  'datasetName',
  'seriesId',
  'createdAt',
  'updatedAt',
])

/** Every finding of a job, without what differs between two runs by nature: ids and when it was stored. */
export async function exportFindings(installation: Installation, jobId: string): Promise<object[]> {
  const items = await installation.list(`/v1/anomalies?jobId=${jobId}&limit=500`)
  return items
    .map((item) => Object.fromEntries(Object.entries(item).filter(([field]) => !BY_NATURE.has(field))))
    .toSorted((a, b) => compare(describe(a), describe(b)))
}

function describe(finding: JsonAnswer): string {
  return `${finding.metric} ${JSON.stringify(finding.tags)} ${finding.startedAt}`
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}

/** Points that are in `expected` and not, with the very same bits, in `stored`: the first of them, described. */
export function missingPoints(
  expected: ReadonlyMap<string, number>,
  stored: ReadonlyMap<string, number>,
): string[] {
  const missing = [...expected].filter(([key, value]) => !Object.is(stored.get(key), value))
  return missing
    .slice(0, 5)
    .map(([key, value]) => `${key}: ${stored.get(key)} instead of ${value}; ${missing.length} in all`)
}
