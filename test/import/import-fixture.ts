import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { onTestFinished } from 'vitest'
import { importPynomaly, type PynomalyOptions } from '../../src/operations/import/import-pynomaly.ts'
import type { ImportReport } from '../../src/operations/import/import-report.ts'
import { openTestStore, type StoreFixture } from '../store/store-fixture.ts'

/** What a user of the original has on disk; not part of the project. */
export const SAMPLES = resolve('../shared/data/pynomaly')
export const hasSamples = existsSync(SAMPLES)
export const NO_SAMPLES = `skipped: ${SAMPLES} is missing`

/** A store to import into, until the test ends. */
export interface ImportFixture extends StoreFixture {
  readonly run: (path: string, changes?: Partial<PynomalyOptions>) => Promise<ImportReport>
}

export async function openImportFixture(): Promise<ImportFixture> {
  const fixture = await openTestStore()
  return {
    ...fixture,
    run: (path, changes) =>
      importPynomaly(fixture.store, {
        path,
        tenant: undefined,
        zone: undefined,
        systemZone: 'Europe/Berlin',
        dryRun: false,
        again: false,
        actor: 'operator:test',
        clock: Date.now,
        signal: new AbortController().signal,
        ...changes,
      }),
  }
}

/** A folder of the test's own, removed when it ends. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'nomaly-test-import-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

type Row = Readonly<Record<string, string | number | bigint | null | Uint8Array>>

/** Writes tables with their rows to an SQLite file; the columns of a table are `name TYPE`. */
export function writeSqlite(
  path: string,
  tables: Readonly<Record<string, { readonly columns: string; readonly rows: readonly Row[] }>>,
): void {
  const database = new DatabaseSync(path)
  try {
    for (const [table, { columns, rows }] of Object.entries(tables)) {
      database.exec(`create table ${table} (${columns}); begin`)
      const inserts = new Map<string, StatementSync>()
      for (const row of rows) {
        const names = Object.keys(row).join(', ')
        const places = Object.keys(row).map(() => '?')
        if (!inserts.has(names))
          inserts.set(
            names,
            database.prepare(`insert into ${table} (${names}) values (${places.join(', ')})`),
          )
        inserts.get(names)!.run(...Object.values(row))
      }
      database.exec('commit')
    }
  } finally {
    database.close()
  }
}

export const DATASETS =
  'id varchar(36), name text, description text, file_path text, target_column text, features text, metadata text, created_at datetime, updated_at datetime'
export const DETECTORS =
  'id varchar(36), algorithm text, parameters text, is_fitted boolean, model_data text, metadata text, created_at datetime, updated_at datetime'
export const RESULTS =
  'id varchar(36), detector_id varchar(36), dataset_id varchar(36), scores text, labels text, metadata text, created_at datetime'
export const METRICS =
  'id varchar(36), name text, value float, unit text, tags text, timestamp datetime, entity_type text, entity_id varchar(36), meta_data text'
export const USERS =
  'id varchar(36), email text, username text, first_name text, last_name text, status text, password_hash text, settings text, created_at datetime, updated_at datetime, last_login_at datetime, email_verified_at datetime'

export const AT = '2025-06-01 12:00:00.250001'

/** What an import keeps, as one text: everything but what an installation numbers or times by itself. */
export async function digest(admin: StoreFixture['admin']): Promise<string> {
  const tables = [
    'users',
    'role_grants',
    'datasets',
    'row_detectors',
    'row_results',
    'row_findings',
    'imported_records',
  ]
  const lines: string[] = []
  const add = async (title: string, rows: string): Promise<void> => {
    const [sum] = await admin<{ count: number; md5: string | null }>(
      `select count(*)::int as count, md5(string_agg(line, e'\\n' order by line)) as md5 from (${rows}) r`,
    )
    lines.push(`${title}: ${sum!.count} ${sum!.md5}`)
  }
  await add(
    'tenants',
    `select id::text || name as line from nomaly.tenants where name not in ('tenant', 'default')`,
  )
  for (const table of tables) await add(table, `select to_jsonb(t)::text as line from nomaly.${table} t`)
  await add('quarantine', `select (to_jsonb(q) - 'import_id')::text as line from nomaly.import_quarantine q`)
  const [engine] = await admin<{ has: boolean }>(
    `select to_regclass('metrics.timescale_points_forever') is not null as has`,
  )
  const points = engine!.has ? 'metrics.timescale_points_forever' : 'metrics.points_forever'
  await add(
    'points',
    `select concat_ws(' ', s.source_id, s.metric, s.tags, p.time, p.value) as line
     from ${points} p join metrics.series s on s.id = p.series_id`,
  )
  return lines.join('\n')
}
