import { type Severity, severityOf } from '../../detection/finding.ts'
import type { ConvertContext } from './convert-context.ts'
import type { Shaped } from './convert-row.ts'
import { RowProblem } from './converted.ts'
import { jsonObject, toFloat } from './python-json.ts'
import type { RowReader } from './row-reader.ts'
import { type TargetRow, TARGETS } from './target-table.ts'

/** What one transaction and one process can hold of a result, with a finding for each row. */
const MAX_SCORES = 1_000_000

/** The severity of a row's score, which is from 0 to 1; low where there is none, or no number. */
export function severityOfRow(score: number | null): Severity {
  return severityOf(score ?? Number.NaN)
}

/** The scores of a dataset's rows, and a finding for each row that was labelled anomalous. */
export function convertResult(reader: RowReader, context: ConvertContext): readonly Shaped[] {
  const id = reader.id('id')
  const tenantId = context.tenantOf(reader.raw('tenant_id'))
  const detectorId = reader.id('detector_id')
  const datasetId = reader.id('dataset_id')
  const { scores, confidences } = scoresOf(reader)
  const metadata = reader.object('metadata', 'meta_data')
  const threshold = reader.number('threshold') ?? toFloat(metadata.value['threshold']) ?? null
  const labels = labelsOf(reader, scores.length)
  const createdAt = reader.timeOr(context.modifiedAt, ['created_at', 'timestamp'], 'the time of the file')
  const row: TargetRow = {
    table: TARGETS.results,
    values: {
      id,
      tenant_id: tenantId,
      dataset_id: datasetId,
      detector_id: detectorId,
      scores: arrayText(scores),
      confidences: confidences === null ? null : arrayText(confidences),
      labels: labels === null ? null : arrayText(labels),
      threshold: threshold === null ? null : String(threshold),
      execution_ms: textOf(reader.number('execution_time_ms')),
      metadata: jsonObject({
        ...(metadata.text !== '{}' && { metadata: metadata.text }),
        columns: reader.rest(),
      }),
      created_at: createdAt,
    },
  }
  const after = anomalous(reader, scores, labels, threshold).map((at) => ({
    table: TARGETS.findings,
    values: {
      tenant_id: tenantId,
      result_id: id,
      row_index: String(at),
      score: textOf(scores[at]!),
      severity: severityOfRow(scores[at]!),
    },
  }))
  const before = context.makesDatasets ? [placeholder(reader, datasetId, tenantId, createdAt)] : []
  const needs = [
    { table: 'detectors', id: detectorId, reason: 'detector_missing' },
    { table: 'datasets', id: datasetId, reason: 'dataset_missing' },
  ] as const
  return [{ tenantId, row, before, after, needs }]
}

function scoresOf(reader: RowReader): { scores: (number | null)[]; confidences: (number | null)[] | null } {
  const list = reader.json('scores', 'anomaly_scores')?.value
  if (!Array.isArray(list)) throw new RowProblem('unreadable', 'scores are no list')
  if (list.length > MAX_SCORES)
    throw new RowProblem('unstorable', `there are ${list.length} scores; at most ${MAX_SCORES} are kept`)
  let hasConfidences = false
  const confidences: (number | null)[] = []
  const scores = list.map((item: unknown, at) => {
    const isPair = typeof item === 'object' && item !== null
    const confidence = isPair ? numberAt((item as Record<string, unknown>)['confidence'], at) : null
    hasConfidences ||= confidence !== null
    confidences.push(confidence)
    return numberAt(isPair ? (item as Record<string, unknown>)['value'] : item, at)
  })
  return { scores, confidences: hasConfidences ? confidences : null }
}

function numberAt(value: unknown, at: number): number | null {
  if (value === null || value === undefined) return null
  const number = toFloat(value)
  if (number === undefined) throw new RowProblem('unreadable', `score ${at} is no number`)
  return number
}

function labelsOf(reader: RowReader, count: number): (boolean | null)[] | null {
  const list = reader.json('labels', 'anomaly_labels')?.value
  if (list === undefined) return null
  if (!Array.isArray(list)) throw new RowProblem('unreadable', 'labels are no list')
  if (list.length !== count)
    throw new RowProblem('unreadable', `there are ${list.length} labels for ${count} scores`)
  return list.map((label: unknown, at) => {
    if (label === null) return null
    if (label === 1 || label === true) return true
    if (label === 0 || label === false) return false
    throw new RowProblem('unreadable', `label ${at} is neither 0 nor 1`)
  })
}

/** Indexes of the rows that are findings: what the labels say, and without labels what is above the threshold. */
function anomalous(
  reader: RowReader,
  scores: readonly (number | null)[],
  labels: readonly (boolean | null)[] | null,
  threshold: number | null,
): number[] {
  const indexes = [...scores.keys()]
  if (labels !== null) return indexes.filter((at) => labels[at] === true)
  if (threshold === null) {
    reader.fill('findings: none, there are neither labels nor a threshold')
    return []
  }
  reader.fill('findings ← scores above the threshold, there are no labels')
  return indexes.filter((at) => scores[at] !== null && scores[at]! > threshold)
}

/** A dataset of which nothing is known but its id. */
function placeholder(reader: RowReader, id: string, tenantId: string, createdAt: string): TargetRow {
  reader.fill('dataset: made under the id that results name, the store never kept any')
  const name = `dataset-${id.slice(0, 8)}`
  return {
    table: TARGETS.datasets,
    values: {
      id,
      tenant_id: tenantId,
      name,
      description: '',
      metadata: jsonObject({ importedFrom: '"pynomaly"', isPlaceholder: 'true' }),
      created_at: createdAt,
      updated_at: createdAt,
    },
    named: { column: 'name', fallback: `dataset-${id.replaceAll('-', '')}`, within: ['tenant_id'] },
  }
}

function textOf(value: number | null): string | null {
  return value === null ? null : String(value)
}

/** As PostgreSQL reads an array (manual, 8.15.2). */
function arrayText(items: readonly (number | boolean | null)[]): string {
  return `{${items.map((item) => (item === null ? 'NULL' : String(item))).join(',')}}`
}
