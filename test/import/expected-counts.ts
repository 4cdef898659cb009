import { basename } from 'node:path'
import type { ImportReport, StoreReport } from '../../src/operations/import/import-report.ts'

/**
 * The report in the words of `expected.json`: rows by table that are kept under an id of their own, those included that wait in quarantine for what
 * they speak of; and what is set aside, by why.
 */
export function expectedCounts({ stores }: ImportReport): Record<string, Record<string, unknown>> {
  return Object.fromEntries(stores.map((store) => [basename(store.name), countsOf(store)]))
}

function countsOf({ family, tables }: StoreReport): Record<string, unknown> {
  const reason = (name: string): number => tables.reduce((sum, { reasons }) => sum + (reasons[name] ?? 0), 0)
  const orphans = reason('detector_missing') + reason('dataset_missing')
  const counts = tables
    .filter(({ rows }) => rows > 0)
    .map(({ noun, table, stored, present, reasons }) => {
      const waiting = (reasons['detector_missing'] ?? 0) + (reasons['dataset_missing'] ?? 0)
      const name = noun === 'grants' ? 'roles_granted' : table.replace(/\.json$/, '')
      return [name, stored + present + waiting] as const
    })
  return {
    family,
    ...Object.fromEntries(counts),
    ...(orphans > 0 && { orphan_results: orphans }),
    ...(reason('unrecoverable_id') > 0 && { unrecoverable_ids: reason('unrecoverable_id') }),
  }
}
