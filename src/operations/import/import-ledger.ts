import type { Connection } from '../../database/connection.ts'
import type { Database } from '../../database/database.ts'
import type { Refused } from './converted.ts'

/** What decides what an import of one source comes to, beside the source. */
export interface ImportOptions {
  /** Of the tenant that everything goes into, or of the one for rows of no tenant. */
  readonly tenantId: string
  readonly isOneTenant: boolean
  readonly zone: string
  readonly jobsZone: string
}

/** What was done with the rows of a table so far. */
export interface Tally {
  /** Rows that were looked at. */
  readonly read: number
  /** Of them, rows that were stored, that were there already, and that were set aside. */
  readonly stored: number
  readonly present: number
  readonly quarantined: number
  readonly findings: number
  /** Rows by what was filled in. */
  readonly fills: Readonly<Record<string, number>>
  /** Rows by why they were set aside. */
  readonly reasons: Readonly<Record<string, number>>
}

export const NO_TALLY: Tally = {
  read: 0,
  stored: 0,
  present: 0,
  quarantined: 0,
  findings: 0,
  fills: {},
  reasons: {},
}

/** How far a table has come. */
export interface Place {
  readonly place: bigint
  readonly isDone: boolean
  readonly tally: Tally
}

const BEGINNING: Place = { place: -(2n ** 63n), isDone: false, tally: NO_TALLY }
const SYSTEM = { role: 'nomaly_system' } as const

/** What is noted of the import of one source, so that it goes on wherever it was interrupted, and is not done twice. */
export class ImportLedger {
  readonly id: string
  /** Where it was finished before, what was reported then. */
  readonly finished: unknown
  readonly #database: Database

  private constructor(database: Database, id: string, finished: unknown) {
    this.#database = database
    this.id = id
    this.finished = finished
  }

  /** Finds what is noted of a source, or begins it. `again` forgets how far it had come. */
  static async open(
    database: Database,
    source: { readonly name: string; readonly fingerprint: string },
    options: ImportOptions,
    again: boolean,
  ): Promise<ImportLedger> {
    const values = [Buffer.from(source.fingerprint, 'hex'), JSON.stringify(options), source.name]
    const { value } = await database.transaction(SYSTEM, async (connection) => {
      if (again)
        await connection.query('delete from nomaly.imports where fingerprint = $1 and options = $2::jsonb', [
          values[0],
          values[1],
        ])
      await connection.query(
        'insert into nomaly.imports (fingerprint, options, source) values ($1, $2::jsonb, $3) on conflict do nothing',
        values,
      )
      const [row] = await connection.query<{ id: string; report: unknown }>(
        'select id, report from nomaly.imports where fingerprint = $1 and options = $2::jsonb',
        [values[0], values[1]],
      )
      return row!
    })
    return new ImportLedger(database, value.id, value.report)
  }

  async places(): Promise<Map<string, Place>> {
    const rows = await this.#read<{ source_table: string; place: string; is_done: boolean; tally: Tally }>(
      'select source_table, place, is_done, tally from nomaly.import_places where import_id = $1',
    )
    return new Map(
      rows.map((row) => [
        row.source_table,
        { place: BigInt(row.place), isDone: row.is_done, tally: row.tally },
      ]),
    )
  }

  async placeOf(table: string): Promise<Place> {
    return (await this.places()).get(table) ?? BEGINNING
  }

  /** Notes how far a table has come, and what was set aside on the way, as part of a transaction of `nomaly_system`. */
  async advance(
    connection: Connection,
    table: string,
    { place, isDone, tally }: Place,
    refused: readonly Refused[],
  ): Promise<void> {
    if (refused.length > 0)
      await connection.query(
        `insert into nomaly.import_quarantine (import_id, tenant_id, source_table, place, source_id, reason, detail, record)
         select $1, r.tenant::uuid, $2, r.place::int8, r.id, r.reason, r.detail, r.record::jsonb
         from unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) r(tenant, place, id, reason, detail, record)
         on conflict do nothing`,
        [
          this.id,
          table,
          refused.map(({ tenantId }) => tenantId),
          refused.map((row) => row.place.toString()),
          refused.map(({ sourceId }) => storable(sourceId ?? null)),
          refused.map(({ reason }) => reason),
          refused.map(({ detail }) => storable(detail)),
          refused.map(({ record }) => record),
        ],
      )
    await connection.query(
      `insert into nomaly.import_places (import_id, source_table, place, is_done, tally) values ($1, $2, $3, $4, $5)
       on conflict (import_id, source_table) do update set place = excluded.place, is_done = excluded.is_done, tally = excluded.tally`,
      [this.id, table, place.toString(), isDone, JSON.stringify(tally)],
    )
  }

  /** Places of rows of a table that were set aside: those that were read as they are compared with the target. */
  async quarantinedPlaces(table: string): Promise<Set<string>> {
    const rows = await this.#read<{ key: string }>(
      `select place || ' ' || tenant_id as key from nomaly.import_quarantine where import_id = $1 and source_table = $2`,
      table,
    )
    return new Set(rows.map(({ key }) => key))
  }

  /** The first rows that were set aside. */
  async quarantine(limit: number): Promise<QuarantinedRow[]> {
    return this.#read<QuarantinedRow & Record<string, unknown>>(
      `select source_table as "table", place::text as place, source_id as "sourceId", reason, detail
       from nomaly.import_quarantine where import_id = $1 order by source_table, import_quarantine.place limit $2`,
      limit,
    )
  }

  /** Notes that it is done, with what each tenant that it touched hears of it in its audit log. */
  async finish(report: unknown, tenantIds: readonly string[], actor: string, name: string): Promise<void> {
    await this.#database.transaction(SYSTEM, async (connection) => {
      await connection.query('update nomaly.imports set completed_at = now(), report = $2 where id = $1', [
        this.id,
        JSON.stringify(report),
      ])
      await connection.query(
        `insert into nomaly.audit_log (tenant_id, actor, action, subject_kind, subject_id, detail)
         select t.id, $2, 'import.complete', 'import', $3, $4::jsonb from nomaly.tenants t where t.id = any($1::uuid[])`,
        [tenantIds, actor, this.id, JSON.stringify({ source: name })],
      )
    })
  }

  #read<Row extends Record<string, unknown>>(text: string, ...values: readonly unknown[]): Promise<Row[]> {
    return this.#database.read({ ...SYSTEM, freshness: 'latest' }, (connection) =>
      connection.query<Row>(text, [this.id, ...values]),
    )
  }
}

/** A row that was set aside, as it is reported. */
export interface QuarantinedRow {
  readonly table: string
  readonly place: string
  readonly sourceId: string | null
  readonly reason: string
  readonly detail: string
}

function storable(text: string | null): string | null {
  return text === null ? null : text.toWellFormed().replaceAll('\0', '\uFFFD')
}
