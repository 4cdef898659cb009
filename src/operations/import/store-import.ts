import type { Store } from '../../store/store.ts'
import { makeContext } from './make-context.ts'
import { importMetrics, type MetricsRun } from './import-metrics.ts'
import { ImportLedger, type ImportOptions, NO_TALLY } from './import-ledger.ts'
import { LISTED, type StoreReport, type TableReport } from './import-report.ts'
import { importTable, type ImportRun, type RowTable } from './import-table.ts'
import type { LocalTime } from './local-time.ts'
import { MetricRows } from './metric-rows.ts'
import { ensureMetricsDataset } from './metrics-dataset.ts'
import type { Noun, SourceStore, SourceTable } from './source.ts'
import { verifyMetrics } from './verify-metrics.ts'
import { type Comparison, isSame, verifyTable } from './verify-table.ts'

/** What all sources of one import have in common, and one of them. */
export interface StoreImportParts {
  readonly store: Store
  readonly settings: ImportOptions
  readonly zone: LocalTime
  readonly jobsZone: LocalTime
  readonly signal: AbortSignal
  readonly actor: string
  readonly source: SourceStore
}

/** The import of one source, from its tables to its report. */
export class StoreImport {
  readonly #parts: StoreImportParts
  #ledger: ImportLedger | undefined
  #run: ImportRun | undefined
  readonly #metricRows = new Map<SourceTable, MetricRows>()

  constructor(parts: StoreImportParts) {
    this.#parts = parts
  }

  /** Looks how far it has come before. */
  async open(again: boolean): Promise<void> {
    const { store, source, settings, signal } = this.#parts
    this.#ledger = await ImportLedger.open(store.database, source, settings, again)
    if (this.#ledger.finished !== null) return
    this.#run = {
      database: store.database,
      ledger: this.#ledger,
      context: await makeContext(this.#parts),
      signal,
      onRows: () => {},
    }
  }

  /** Imports its tables of these nouns, in their order; nothing where it is done. */
  async importTables(nouns: readonly Noun[], onRows: (rows: number) => void): Promise<void> {
    if (this.#run === undefined) return
    const run = { ...this.#run, onRows }
    for (const noun of nouns)
      for (const table of this.#parts.source.tables.filter((candidate) => candidate.noun === noun)) {
        if (isRowTable(table)) await importTable(run, table)
        else await this.#importMetrics(run, table)
      }
  }

  /** Compares source and target, and notes that it is done where they are the same. */
  async finish(): Promise<{ readonly report: StoreReport; readonly isRight: boolean }> {
    const { source, actor } = this.#parts
    if (this.#run === undefined)
      return { report: { ...(this.#ledger!.finished as StoreReport), isRepeated: true }, isRight: true }
    const run = this.#run
    const places = await run.ledger.places()
    const comparisons: Comparison[] = []
    const tables: TableReport[] = []
    for (const table of source.tables) {
      const tally = places.get(table.name)?.tally ?? NO_TALLY
      const shown = { table: table.name, noun: table.noun, rows: table.count, ...tally }
      if (isRowTable(table)) {
        comparisons.push(...(await verifyTable(run, table)))
        tables.push(shown)
      } else {
        const rows = this.#rowsOf(table)
        const { duplicates, series, ...comparison } = await verifyMetrics(
          await this.#metricsRun(run),
          table,
          rows,
        )
        comparisons.push(comparison)
        tables.push({ ...shown, series, duplicates, leftOut: rows.leftOut })
      }
    }
    source.requireUnchanged()
    const { name, family, bytes, fingerprint, unused } = source
    const quarantine = await run.ledger.quarantine(LISTED)
    const isRepeated = false
    const report = {
      name,
      family,
      bytes,
      fingerprint,
      isRepeated,
      tables,
      unused,
      comparisons,
      quarantine,
    }
    const isRight = comparisons.every(isSame)
    if (isRight) await run.ledger.finish(report, await this.#touchedTenants(run), actor, name)
    return { report, isRight }
  }

  async #importMetrics(run: ImportRun, table: SourceTable): Promise<void> {
    const metricsRun = await this.#metricsRun(run)
    await importMetrics(metricsRun, table, this.#rowsOf(table))
    const { tenantId } = run.context
    this.#parts.store.notifier.publish({ channel: 'points', tenantId, id: metricsRun.source.id })
  }

  #rowsOf(table: SourceTable): MetricRows {
    const known = this.#metricRows.get(table) ?? new MetricRows(table, this.#parts.zone)
    this.#metricRows.set(table, known)
    return known
  }

  async #metricsRun(run: ImportRun): Promise<MetricsRun> {
    const { store } = this.#parts
    const { tenantId, modifiedAt } = run.context
    const { value: source } = await store.database.transaction(
      { role: 'nomaly_system', retry: true },
      (connection) => ensureMetricsDataset(connection, tenantId, modifiedAt),
    )
    return { ...run, metrics: store.metrics, source }
  }

  /** The tenants that have rows of this source, as far as it says. */
  async #touchedTenants({ context }: ImportRun): Promise<string[]> {
    const { source } = this.#parts
    const tenants = new Set([context.tenantId])
    for (const table of source.tables.filter(({ columns }) => columns.has('tenant_id')))
      for (const value of table.distinct('tenant_id', 10_000))
        try {
          tenants.add(context.tenantOf(value))
        } catch {
          // Rows of a tenant that nobody knows were set aside.
        }
    return [...tenants]
  }
}

export function isRowTable(table: SourceTable): table is RowTable {
  return table.noun !== 'metrics'
}
