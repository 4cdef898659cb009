import { NomalyError } from '../errors.ts'
import type { Connection } from './connection.ts'
import type { Database } from './database.ts'

/** What stands in a database about whose it is. */
export interface InstallationNote {
  /** Of the installation, the same in each of its databases. */
  readonly id: string
  readonly holds: 'everything' | 'core' | 'metrics'
  /** Of the database of the metrics, where that is another one than the core. */
  readonly metricsId: string | undefined
}

/** A database as it is found, before it is used. */
export interface DatabaseState {
  /** `undefined` where it has never been used. */
  readonly note: InstallationNote | undefined
  /** Whether there are series, or logins that may write some. */
  readonly hasMetrics: boolean
}

/** Asks whether there is a note at all, which needs no rights: a database that was never migrated has none. */
export const HAS_NOTE = hasTable('nomaly', 'installation')
export const READ_NOTE = 'select id, holds, metrics_id as "metricsId" from nomaly.installation'

/** Asks whether there is a table, also one of a schema that may not be used (where `to_regclass` would fail). */
export function hasTable(schema: string, table: string): string {
  return `select exists(select from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = '${schema}' and c.relname = '${table}') as exists`
}

/**
 * Makes sure that two databases are the core and the metrics of one installation, or can become so. Without the second one, that the
 * first holds everything.
 * @throws NomalyError `conflict` that says which of the two is the wrong one.
 */
export function requireFitting(core: DatabaseState, metrics: DatabaseState | undefined): void {
  if (core.note?.holds === 'metrics')
    throw new NomalyError(
      'conflict',
      'DATABASE_URL names a database that holds the metrics of an installation.',
      {
        hint: 'Set DATABASE_URL to the core of that installation, and METRICS_DATABASE_URL to this database.',
      },
    )
  const isApart = core.note?.holds === 'core'
  if (metrics === undefined) {
    if (!isApart) return
    throw new NomalyError(
      'conflict',
      'This installation keeps its metrics in a database of their own, and METRICS_DATABASE_URL is not set.',
      { hint: 'Set METRICS_DATABASE_URL to that database.' },
    )
  }
  if (!isApart && core.hasMetrics)
    throw new NomalyError(
      'conflict',
      'This installation keeps its metrics in its core database: they would be missing in that of METRICS_DATABASE_URL.',
      { hint: 'Leave METRICS_DATABASE_URL unset: moving metrics to another database is not offered yet.' },
    )
  requireOwnMetrics(core.note, metrics)
}

function requireOwnMetrics(core: InstallationNote | undefined, { note, hasMetrics }: DatabaseState): void {
  if (note !== undefined && note.holds !== 'metrics')
    throw new NomalyError('conflict', 'METRICS_DATABASE_URL names the core database of an installation.', {
      hint: 'Give the metrics an empty database of their own, or leave METRICS_DATABASE_URL unset.',
    })
  if (note !== undefined && note.id !== core?.id)
    throw new NomalyError('conflict', 'METRICS_DATABASE_URL names the metrics of another installation.', {
      hint: 'Set it to the database that belongs to DATABASE_URL, or to an empty one for a new installation.',
    })
  if (note === undefined && hasMetrics)
    throw new NomalyError(
      'conflict',
      'METRICS_DATABASE_URL names metrics that belong to no known installation.',
      {
        hint: 'Restore that database as a whole, or give the metrics an empty one.',
      },
    )
  if (core?.metricsId !== undefined && note?.metricsId !== core.metricsId)
    throw new NomalyError(
      'conflict',
      'METRICS_DATABASE_URL names another database than the one in which this installation keeps its metrics.',
      {
        hint: 'Set it to that database, or restore that from a backup. How to go on without its points stands in docs/guides/running.md.',
      },
    )
}

/**
 * Makes sure that a process may work on these databases: they are migrated, and belong together.
 * @param metrics the same as `core` where there is only one.
 * @throws NomalyError `conflict`.
 */
export async function requireJoined(core: Database, metrics: Database): Promise<void> {
  const coreNote = await readNote(core)
  if (metrics === core) return requireFitting({ note: coreNote, hasMetrics: false }, undefined)
  const metricsNote = await readNote(metrics)
  requireFitting({ note: coreNote, hasMetrics: false }, { note: metricsNote, hasMetrics: false })
  if (coreNote?.holds !== 'core')
    throw new NomalyError(
      'conflict',
      'The database of METRICS_DATABASE_URL has not been used by this installation yet.',
      {
        hint: 'Run `nomaly migrate` or `nomaly start` with the same settings first.',
      },
    )
}

async function readNote(database: Database): Promise<InstallationNote | undefined> {
  return database.read({ role: 'nomaly_system', freshness: 'latest' }, async (connection: Connection) => {
    const [table] = await connection.query<{ exists: boolean }>(HAS_NOTE)
    if (!table!.exists) return undefined
    return toNote((await connection.query<NoteRow>(READ_NOTE))[0])
  })
}

/** A row of {@link READ_NOTE}. */
export type NoteRow = Omit<InstallationNote, 'metricsId'> & { readonly metricsId: string | null }

export function toNote(row: NoteRow | undefined): InstallationNote | undefined {
  return row === undefined ? undefined : { ...row, metricsId: row.metricsId ?? undefined }
}
