import type { ConvertContext } from './convert-context.ts'
import type { Shaped } from './convert-row.ts'
import { toFloat, jsonObject } from './python-json.ts'
import type { RowReader } from './row-reader.ts'
import { TARGETS } from './target-table.ts'

/** What the original takes where nothing was said. */
const DEFAULT_CONTAMINATION = 0.1

/** A detector of rows. Its model is code of another language: only its size and checksum are kept. */
export function convertDetector(reader: RowReader, context: ConvertContext): readonly Shaped[] {
  const id = reader.id('id')
  const tenantId = context.tenantOf(reader.raw('tenant_id'))
  const algorithm = reader.requiredText(200, 'algorithm', 'algorithm_name')
  const parameters = reader.object('parameters')
  const metadata = reader.object('metadata', 'meta_data')
  if (reader.raw('model_data') !== null) reader.fill('model: a pickle, which is never loaded, was left out')
  const createdAt = reader.timeOr(context.modifiedAt, ['created_at', 'updated_at'], 'the time of the file')
  const values = {
    id,
    tenant_id: tenantId,
    name: nameOf(reader, id, algorithm, metadata.value['name']),
    algorithm,
    contamination: String(contaminationOf(reader, parameters.value['contamination'])),
    parameters: parameters.text,
    is_fitted: reader.boolean('is_fitted'),
    trained_at: reader.time('trained_at'),
    created_at: createdAt,
    updated_at: reader.timeOr(createdAt, ['updated_at'], 'created_at'),
  }
  const kept = jsonObject({
    ...(metadata.text !== '{}' && { metadata: metadata.text }),
    columns: reader.rest(),
  })
  return [{ tenantId, row: { table: TARGETS.detectors, values: { ...values, metadata: kept } } }]
}

function nameOf(reader: RowReader, id: string, algorithm: string, inMetadata: unknown): string {
  const name = reader.text(400, 'name')
  if (name !== null && name !== '') return name
  if (typeof inMetadata === 'string' && inMetadata !== '' && inMetadata.length <= 400) {
    reader.fill('name ← metadata.name')
    return inMetadata
  }
  reader.fill('name ← algorithm and the first 8 characters of the id')
  return `${algorithm} ${id.slice(0, 8)}`
}

function contaminationOf(reader: RowReader, inParameters: unknown): number {
  const candidates = [reader.raw('contamination_rate'), inParameters]
  for (const [at, candidate] of candidates.entries()) {
    const value = typeof candidate === 'bigint' ? Number(candidate) : toFloat(candidate)
    if (value === undefined || !(value >= 0 && value <= 1)) continue
    if (at === 1 && candidates[0] === null) reader.fill('contamination ← parameters.contamination')
    return value
  }
  reader.fill(`contamination ← ${DEFAULT_CONTAMINATION}`)
  return DEFAULT_CONTAMINATION
}
