import type { ConvertContext } from './convert-context.ts'
import type { Shaped } from './convert-row.ts'
import { idText, RowProblem } from './converted.ts'
import { jsonObject } from './python-json.ts'
import type { RowReader } from './row-reader.ts'
import type { SourceTable } from './source.ts'
import { TARGETS } from './target-table.ts'

/** Statuses of the original that are called something else here. */
const STATUSES: Readonly<Record<string, string>> = { queued: 'pending' }

/** A row that has no place of its own here, kept as it is; its times in UTC. */
export function convertRecord(
  reader: RowReader,
  context: ConvertContext,
  table: SourceTable,
): readonly Shaped[] {
  const idColumn = table.columns.has('job_id') && !table.columns.has('id') ? 'job_id' : 'id'
  const raw = reader.raw(idColumn)
  const isUuid = table.columns.get(idColumn) === 'UUID'
  const id = isUuid ? reader.id(idColumn) : idText(raw)
  if (id === undefined || id === '') throw new RowProblem('unrecoverable_id', 'the id is missing')
  const tenantId = context.tenantOf(reader.raw('tenant_id'))
  const times: Record<string, string> = {}
  for (const [column, type] of table.columns)
    if (/^(?:DATETIME|TIMESTAMP)/.test(type) || column.endsWith('_at')) {
      const time = reader.time(column)
      if (time !== null) times[column] = JSON.stringify(`${time.slice(0, 10)}T${time.slice(11, 26)}Z`)
    }
  const status = reader.text(200, 'status')?.toLowerCase()
  if (status !== undefined && STATUSES[status] !== undefined)
    reader.fill(`status: ${status} → ${STATUSES[status]}`)
  const record = jsonObject({
    ...(status !== undefined && { status: JSON.stringify(STATUSES[status] ?? status) }),
    ...times,
    columns: reader.rest(),
  })
  const values = { tenant_id: tenantId, source_table: table.name, source_id: id, record }
  return [{ tenantId, row: { table: TARGETS.records, values } }]
}
