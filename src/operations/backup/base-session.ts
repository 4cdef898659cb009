import { parseLsn } from '../../database/replicas/lsn.ts'
import pg from 'pg'
import { NomalyError } from '../../errors.ts'
import { segmentAt } from './wal-segment.ts'

const CONNECT_TIMEOUT_MS = 10_000

/** A checkpoint has to write everything that has changed. */
const START_TIMEOUT_MS = 600_000

const LOCK = `hashtextextended('nomaly backup', 0)`

/** What a server says of itself. */
export interface ServerFacts {
  readonly systemId: string
  readonly timeline: number
  readonly major: number
  readonly segmentBytes: number
  readonly hasChecksums: boolean
}

/** How a backup ended. */
export interface BaseEnd {
  readonly lsn: string
  readonly label: string
  readonly endedAt: string
}

/**
 * The one session in which a backup begins and ends (PostgreSQL manual, 25.3.4 Making a Base Backup Using the Low Level API): where it breaks
 * off, the server ends the backup by itself. Only one at a time has one.
 */
export class BaseSession implements AsyncDisposable {
  readonly #client: pg.Client
  readonly facts: ServerFacts

  private constructor(client: pg.Client, facts: ServerFacts) {
    this.#client = client
    this.facts = facts
  }

  /** @throws NomalyError `conflict` where a backup is being made, `unavailable` where the server does not answer. */
  static async open(adminUrl: string): Promise<BaseSession> {
    const client = await connectAdmin(adminUrl)
    try {
      const { rows } = await client.query<{ free: boolean }>(`select pg_try_advisory_lock(${LOCK}) as free`)
      if (!rows[0]!.free)
        throw new NomalyError('conflict', 'Another backup of this database is being made.', {
          hint: 'Wait for it. One whose process was killed ends within some seconds.',
        })
      return new BaseSession(client, await readFacts(client))
    } catch (error) {
      await client.end()
      throw error
    }
  }

  /** Begins; answers where the log stood. */
  async start(label: string): Promise<string> {
    const { rows } = await this.#client.query<{ lsn: string }>({
      text: 'select pg_backup_start($1, true) as lsn',
      values: [label],
      query_timeout: START_TIMEOUT_MS,
    } as pg.QueryConfig)
    return rows[0]!.lsn
  }

  async stop(): Promise<BaseEnd> {
    const { rows } = await this.#client.query<BaseEnd>(
      `select lsn, labelfile as label, to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "endedAt"
       from pg_backup_stop(wait_for_archive => false)`,
    )
    return rows[0]!
  }

  /** Sets a named restore point; answers where. */
  async mark(name: string): Promise<string> {
    const { rows } = await this.#client.query<{ lsn: string }>('select pg_create_restore_point($1) as lsn', [
      name,
    ])
    return rows[0]!.lsn
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end()
  }
}

/** Connects as administrator. */
export async function connectAdmin(adminUrl: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: adminUrl,
    application_name: 'nomaly backup',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: START_TIMEOUT_MS,
    keepAlive: true,
  })
  client.on('error', () => {})
  try {
    await client.connect()
    return client
  } catch (cause) {
    throw new NomalyError('unavailable', `The database does not answer: ${(cause as Error).message}.`, {
      hint: 'Start it with `nomaly start`, or look at its log.',
      cause,
    })
  }
}

/** Finishes the segment of log that is being written, with everything committed by now in it; answers its name. */
export async function finishSegment(client: pg.Client, facts: ServerFacts): Promise<string> {
  // A commit, which marks the time: a restore to a moment looks for the first one after it.
  await client.query('select pg_current_xact_id()')
  const { rows } = await client.query<{ lsn: string }>('select pg_switch_wal() as lsn')
  return segmentAt(facts.timeline, parseLsn(rows[0]!.lsn) - 1n, facts.segmentBytes)
}

/** The newest segment that the server has put away. */
export async function lastArchived(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ name: string | null }>(
    `select last_archived_wal as name from pg_stat_archiver`,
  )
  return rows[0]!.name?.slice(0, 24) ?? ''
}

/** Why the server could not put log away last; `undefined` where it could. */
export async function archiveFailure(client: pg.Client): Promise<string | undefined> {
  const { rows } = await client.query<{ name: string }>(
    `select last_failed_wal as name from pg_stat_archiver where last_failed_time > coalesce(last_archived_time, '-infinity')`,
  )
  return rows[0]?.name
}

export async function readFacts(client: pg.Client): Promise<ServerFacts> {
  const { rows } = await client.query<{
    systemId: string
    timeline: number
    version: number
    segmentBytes: number
    checksums: string
  }>(
    `select (select system_identifier::text from pg_control_system()) as "systemId",
       (select timeline_id from pg_control_checkpoint()) as timeline,
       current_setting('server_version_num')::int4 as version,
       (select setting::int4 from pg_settings where name = 'wal_segment_size') as "segmentBytes",
       current_setting('data_checksums') as checksums`,
  )
  const { systemId, timeline, version, segmentBytes, checksums } = rows[0]!
  return {
    systemId,
    timeline,
    major: Math.floor(version / 10_000),
    segmentBytes,
    hasChecksums: checksums === 'on',
  }
}
