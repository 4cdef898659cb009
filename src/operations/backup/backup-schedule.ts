import { nextOccurrence } from '../../jobs/job.ts'
import type { Database } from '../../database/database.ts'
import type { Backup, BackupKind } from './backup-engine.ts'

/** When backups of a kind are made by themselves. */
export interface ScheduleEntry {
  readonly kind: BackupKind
  /** Five fields, in UTC. */
  readonly cron: string
  /** ISO 8601. */
  readonly nextRunAt: string
}

/** An attempt to make a backup. */
export interface BackupRun {
  readonly kind: BackupKind
  /** ISO 8601. */
  readonly startedAt: string
  readonly endedAt: string | undefined
  readonly outcome: 'running' | 'done' | 'failed'
  readonly backupId: string | undefined
  readonly reason: string | undefined
}

const SYSTEM = { role: 'nomaly_system' } as const
const READ = { role: 'nomaly_system', freshness: 'latest' } as const
const KEPT_RUNS = 1_000
const REASON_LENGTH = 2_000

export async function readSchedule(database: Database): Promise<ScheduleEntry[]> {
  const rows = await database.read(READ, (connection) =>
    connection.query<{ kind: BackupKind; cron: string; at: Date }>(
      'select kind, cron, next_run_at as at from nomaly.backup_schedule order by kind desc',
    ),
  )
  return rows.map(({ kind, cron, at }) => ({ kind, cron, nextRunAt: at.toISOString() }))
}

/** Sets when backups of a kind are made; `undefined` for never. @throws NomalyError `invalid_input` where an expression cannot be understood. */
export async function setSchedule(
  database: Database,
  kind: BackupKind,
  cron: string | undefined,
  now: Date,
): Promise<void> {
  const next = cron === undefined ? undefined : nextOccurrence({ kind: 'cron', cron }, now)
  await database.transaction(SYSTEM, (connection) =>
    cron === undefined
      ? connection.query('delete from nomaly.backup_schedule where kind = $1', [kind])
      : connection.query(
          `insert into nomaly.backup_schedule (kind, cron, next_run_at) values ($1, $2, $3)
           on conflict (kind) do update set cron = excluded.cron, next_run_at = excluded.next_run_at`,
          [kind, cron, next],
        ),
  )
}

/** Takes what is due: of all processes that ask, one gets it. Times that passed meanwhile are made up for once, by a full backup where one was among them. */
export async function takeDue(database: Database, now: Date): Promise<BackupKind | undefined> {
  const { value } = await database.transaction(SYSTEM, async (connection) => {
    const due = await connection.query<{ kind: BackupKind; cron: string }>(
      'select kind, cron from nomaly.backup_schedule where next_run_at <= $1 order by kind desc for update skip locked',
      [now],
    )
    for (const { kind, cron } of due)
      await connection.query('update nomaly.backup_schedule set next_run_at = $1 where kind = $2', [
        nextOccurrence({ kind: 'cron', cron }, now),
        kind,
      ])
    return due.map(({ kind }) => kind)
  })
  return value.includes('full') ? 'full' : value[0]
}

/** Notes what becomes of work that makes a backup. */
export async function recordRun(
  database: Database,
  kind: BackupKind,
  clock: () => number,
  work: () => Promise<Backup>,
): Promise<Backup> {
  const { value: id } = await database.transaction(SYSTEM, async (connection) => {
    const [row] = await connection.query<{ id: string }>(
      'insert into nomaly.backup_runs (kind, started_at) values ($1, $2) returning id',
      [kind, new Date(clock())],
    )
    await connection.query(
      `update nomaly.backup_runs set outcome = 'failed', ended_at = $1, reason = 'It was interrupted.'
       where outcome = 'running' and started_at < $1::timestamptz - interval '1 day'`,
      [new Date(clock())],
    )
    await connection.query(
      `delete from nomaly.backup_runs where id <= (select max(id) - ${KEPT_RUNS} from nomaly.backup_runs)`,
    )
    return row!.id
  })
  const end = (
    outcome: 'done' | 'failed',
    backup: Backup | undefined,
    reason: string | null,
  ): Promise<unknown> =>
    database.transaction(SYSTEM, (connection) =>
      connection.query(
        `update nomaly.backup_runs set ended_at = $2, outcome = $3, backup_id = $4, stored_bytes = $5, reason = $6 where id = $1`,
        [id, new Date(clock()), outcome, backup?.id ?? null, backup?.storedBytes ?? null, reason],
      ),
    )
  let backup: Backup
  try {
    backup = await work()
  } catch (error) {
    // The error itself is what is told, whatever becomes of the note.
    await end('failed', undefined, (error as Error).message.slice(0, REASON_LENGTH)).catch(() => {})
    throw error
  }
  await end('done', backup, null)
  return backup
}

/** The newest attempts, newest first. */
export async function readRuns(database: Database, limit: number): Promise<BackupRun[]> {
  const rows = await database.read(READ, (connection) =>
    connection.query<{
      kind: BackupKind
      started_at: Date
      ended_at: Date | null
      outcome: BackupRun['outcome']
      backup_id: string | null
      reason: string | null
    }>(
      `select kind, started_at, ended_at, outcome, backup_id, reason from nomaly.backup_runs order by id desc limit $1`,
      [limit],
    ),
  )
  return rows.map((row) => ({
    kind: row.kind,
    startedAt: row.started_at.toISOString(),
    endedAt: row.ended_at?.toISOString(),
    outcome: row.outcome,
    backupId: row.backup_id ?? undefined,
    reason: row.reason ?? undefined,
  }))
}
