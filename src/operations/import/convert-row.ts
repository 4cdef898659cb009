import { DATASET_NAME } from '../../datasets/dataset.ts'
import type { ConvertContext } from './convert-context.ts'
import { convertDetector } from './convert-detector.ts'
import { convertGrant, convertTenant, convertUser } from './convert-people.ts'
import { convertRecord } from './convert-record.ts'
import { convertResult } from './convert-result.ts'
import { type Converted, idText, type Refused, RowProblem } from './converted.ts'
import { datasetName } from './fit-name.ts'
import { jsonObject } from './python-json.ts'
import { recordOf, RowReader } from './row-reader.ts'
import type { SourceRow, SourceTable } from './source.ts'
import { type TargetRow, TARGETS } from './target-table.ts'

/** What a noun makes of a row: everything but what is the same for all. */
export interface Shaped {
  readonly tenantId: string
  readonly row: TargetRow
  readonly before?: readonly TargetRow[]
  readonly after?: readonly TargetRow[]
  readonly needs?: Converted['needs']
}

type Convert = (reader: RowReader, context: ConvertContext, table: SourceTable) => readonly Shaped[]

const CONVERTERS: Readonly<Record<Exclude<SourceTable['noun'], 'metrics'>, Convert>> = {
  tenants: convertTenant,
  users: convertUser,
  grants: convertGrant,
  datasets: convertDataset,
  detectors: convertDetector,
  results: convertResult,
  records: convertRecord,
}

/** The rows that a row of a source becomes: several for a person with grants in several tenants. */
export function convertRow(
  table: SourceTable & { readonly noun: keyof typeof CONVERTERS },
  { place, values }: SourceRow,
  context: ConvertContext,
): readonly (Converted | Refused)[] {
  const isJob = table.name === 'training_jobs'
  const reader = new RowReader(values, isJob ? context.jobsZone : context.zone)
  const sourceId = idText(values['id'] ?? values['job_id'] ?? values['user_id'])
  const record = (): string => recordOf(values)
  try {
    const shaped = CONVERTERS[table.noun](reader, context, table)
    return shaped.map(({ tenantId, row, before = [], after = [], needs = [] }, at) => ({
      place,
      sourceId: sourceId ?? '',
      tenantId,
      before,
      row,
      after,
      needs,
      fills: at === 0 ? reader.fills : [],
      record,
    }))
  } catch (error) {
    if (!(error instanceof RowProblem)) throw error
    const { reason, message: detail } = error
    return [{ place, sourceId, tenantId: context.tenantId, reason, detail, record: record() }]
  }
}

const MAX_DESCRIPTION = 2_000

function convertDataset(reader: RowReader, context: ConvertContext): readonly Shaped[] {
  const id = reader.id('id')
  const tenantId = context.tenantOf(reader.raw('tenant_id'))
  const original = reader.requiredText(1_000, 'name')
  const { name, fallback } = datasetName(original, id)
  if (!DATASET_NAME.test(name)) throw new RowProblem('unstorable', `no name could be made of "${original}"`)
  if (name !== original) reader.fill('name: made to fit what a dataset may be called')
  const description = reader.text(1_000_000, 'description') ?? ''
  const metadata = reader.object('metadata', 'meta_data')
  const createdAt = reader.timeOr(context.modifiedAt, ['created_at', 'updated_at'], 'the time of the file')
  const updatedAt = reader.timeOr(createdAt, ['updated_at'], 'created_at')
  if (description.length > MAX_DESCRIPTION)
    reader.fill('description: shortened; the whole is in the metadata')
  const values = {
    id,
    tenant_id: tenantId,
    name,
    description: cut(description),
    metadata: jsonObject({
      importedFrom: '"pynomaly"',
      name: JSON.stringify(original),
      ...(description.length > MAX_DESCRIPTION && { description: JSON.stringify(description) }),
      ...(metadata.text !== '{}' && { metadata: metadata.text }),
      columns: reader.rest(),
    }),
    created_at: createdAt,
    updated_at: updatedAt,
  }
  return [
    {
      tenantId,
      row: { table: TARGETS.datasets, values, named: { column: 'name', fallback, within: ['tenant_id'] } },
    },
  ]
}

function cut(description: string): string {
  if (description.length <= MAX_DESCRIPTION) return description
  // Half of a surrogate pair cannot be stored.
  return description.slice(0, MAX_DESCRIPTION - 1).replace(/[\uD800-\uDBFF]$/, '') + '…'
}
