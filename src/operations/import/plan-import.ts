import { setImmediate as otherWork } from 'node:timers/promises'
import type { Tenant } from '../../access/tenants.ts'
import type { Connection } from '../../database/connection.ts'
import type { Refused } from './converted.ts'
import type { ConvertContext } from './convert-context.ts'
import { NO_TALLY, type QuarantinedRow } from './import-ledger.ts'
import type { ImportProgress } from './import-pynomaly.ts'
import { LISTED, type StoreReport, type TableReport } from './import-report.ts'
import { batchesOf } from './import-table.ts'
import { makeContext } from './make-context.ts'
import { MetricRows } from './metric-rows.ts'
import type { SourceStore, SourceTable } from './source.ts'
import { storeBatch } from './store-batch.ts'
import { isRowTable, type StoreImportParts } from './store-import.ts'

const STATEMENT_TIMEOUT_MS = 120_000
const ORDER = ['tenants', 'users', 'grants', 'datasets', 'detectors', 'results', 'records']

/** Ends the transaction of a plan, of which nothing is kept. */
class PlanIsMade extends Error {}

/**
 * Says what an import would come to: does all of it but the points, in one transaction that is taken back. So conflicts with what is there already are
 * found as the import itself would find them.
 */
export async function planStores(
  sources: readonly SourceStore[],
  parts: Omit<StoreImportParts, 'source'>,
  tenant: Tenant,
  onProgress?: (progress: ImportProgress) => void,
): Promise<{ readonly report: StoreReport; readonly isRight: boolean }[]> {
  const total = sources.flatMap(({ tables }) => tables).reduce((sum, { count }) => sum + count, 0)
  let done = 0
  const onRows = (rows: number): void => {
    done += rows
    onProgress?.({ phase: 'looking', done, total })
  }
  let reports: StoreReport[] = []
  const { store, signal } = parts
  const options = { role: 'nomaly_system', signal, timeoutMs: STATEMENT_TIMEOUT_MS } as const
  const plans: StorePlan[] = []
  for (const source of sources)
    plans.push(new StorePlan(source, await makeContext({ ...parts, source }), signal, onRows))
  // They need no transaction, and take too long to keep one waiting.
  for (const plan of plans) await plan.addMetrics()
  try {
    await store.database.transaction(options, async (connection) => {
      await connection.query('insert into nomaly.tenants (id, name) values ($1, $2) on conflict do nothing', [
        tenant.id,
        tenant.name,
      ])
      for (const noun of ORDER) for (const plan of plans) await plan.add(connection, noun)
      reports = plans.map((plan) => plan.report())
      throw new PlanIsMade()
    })
  } catch (error) {
    if (!(error instanceof PlanIsMade)) throw error
  }
  return reports.map((report) => ({ report, isRight: true }))
}

class StorePlan {
  readonly #source: SourceStore
  readonly #context: ConvertContext
  readonly #signal: AbortSignal
  readonly #onRows: (rows: number) => void
  readonly #tables = new Map<SourceTable, TableReport>()
  readonly #quarantine: QuarantinedRow[] = []

  constructor(
    source: SourceStore,
    context: ConvertContext,
    signal: AbortSignal,
    onRows: (rows: number) => void,
  ) {
    this.#source = source
    this.#context = context
    this.#signal = signal
    this.#onRows = onRows
  }

  async add(connection: Connection, noun: string): Promise<void> {
    for (const table of this.#source.tables.filter((candidate) => candidate.noun === noun)) {
      if (!isRowTable(table)) continue
      let tally = NO_TALLY
      for (const { rows, sourceRows } of batchesOf(table, -(2n ** 63n), this.#context)) {
        this.#signal.throwIfAborted()
        const outcome = await storeBatch(connection, rows, sourceRows, tally, this.#context.tenantId)
        tally = outcome.tally
        this.#note(table, outcome.refused)
        this.#onRows(sourceRows)
      }
      this.#tables.set(table, { table: table.name, noun: table.noun, rows: table.count, ...tally })
    }
  }

  async addMetrics(): Promise<void> {
    for (const table of this.#source.tables.filter(({ noun }) => noun === 'metrics')) {
      const rows = new MetricRows(table, this.#context.zone)
      let [read, quarantined] = [0, 0]
      for (const page of rows.after(-(2n ** 63n))) {
        for (const [at, detail] of page.problems)
          this.#note(table, [{ place: page.places[at]!, sourceId: undefined, reason: 'unstorable', detail }])
        read += page.count
        quarantined += page.problems.size
        this.#onRows(page.count)
        await otherWork()
        this.#signal.throwIfAborted()
      }
      const reasons = quarantined === 0 ? {} : { unstorable: quarantined }
      const tally = { ...NO_TALLY, read, stored: read - quarantined, quarantined, reasons }
      const shown = { table: table.name, noun: table.noun, rows: table.count }
      this.#tables.set(table, { ...shown, ...tally, series: rows.keys.length, leftOut: rows.leftOut })
    }
  }

  #note(
    table: SourceTable,
    refused: readonly Pick<Refused, 'place' | 'sourceId' | 'reason' | 'detail'>[],
  ): void {
    for (const { place, sourceId = null, reason, detail } of refused)
      if (this.#quarantine.length < LISTED)
        this.#quarantine.push({ table: table.name, place: place.toString(), sourceId, reason, detail })
  }

  report(): StoreReport {
    const { name, family, bytes, fingerprint, unused, tables } = this.#source
    return {
      name,
      family,
      bytes,
      fingerprint,
      isRepeated: false,
      tables: tables.map((table) => this.#tables.get(table)!),
      unused,
      comparisons: [],
      quarantine: this.#quarantine,
    }
  }
}
