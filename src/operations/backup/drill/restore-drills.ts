import type { Connection } from '../../../database/connection.ts'
import type { Database } from '../../../database/database.ts'
import type { BackupEngine } from '../backup-engine.ts'

/** What was last seen of the backups that an engine has. */
export interface BackupSighting {
  readonly engine: BackupEngine['name']
  readonly seenAt: Date
  readonly lastBackupAt: Date | null
  readonly bytes: number | null
  readonly durationSeconds: number | null
  readonly recoverableFrom: Date | null
  readonly problem: string | null
}

/** What is kept in the database of a drill. */
export interface DrillRecord {
  readonly id: string
  readonly engine: BackupEngine['name']
  readonly backupId: string
  readonly recoveredTo: Date | null
  readonly startedAt: Date
  readonly finishedAt: Date
  readonly verdict: 'proven' | 'proven in part' | 'failed'
  readonly rtoSeconds: number | null
  readonly rpoSeconds: number | null
}

/** More are forgotten, oldest first. */
const KEPT_DRILLS = 500

/** Notes what was seen of backups, for whoever asks for metrics. */
export async function recordSighting(database: Database, sighting: BackupSighting): Promise<void> {
  await asSystem(database, (connection) =>
    connection.query(
      `insert into nomaly.backup_sightings
         (engine, seen_at, last_backup_at, bytes, duration_seconds, recoverable_from, problem)
       values ($1, $2, $3, $4, $5, $6, $7)
       on conflict (engine) do update set seen_at = excluded.seen_at, last_backup_at = excluded.last_backup_at, bytes = excluded.bytes,
         duration_seconds = excluded.duration_seconds, recoverable_from = excluded.recoverable_from, problem = excluded.problem`,
      [
        sighting.engine,
        sighting.seenAt,
        sighting.lastBackupAt,
        sighting.bytes,
        sighting.durationSeconds,
        sighting.recoverableFrom,
        sighting.problem,
      ],
    ),
  )
}

/** Notes a drill, and leaves an entry in the audit log. */
export async function recordDrill(database: Database, drill: DrillRecord, report: object): Promise<void> {
  await asSystem(database, async (connection) => {
    await connection.query(
      `insert into nomaly.restore_drills
         (id, engine, backup_id, recovered_to, started_at, finished_at, verdict, rto_seconds, rpo_seconds, report)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
      [
        drill.id,
        drill.engine,
        drill.backupId,
        drill.recoveredTo,
        drill.startedAt,
        drill.finishedAt,
        drill.verdict,
        drill.rtoSeconds,
        drill.rpoSeconds,
        JSON.stringify(report),
      ],
    )
    await connection.query(
      `delete from nomaly.restore_drills where id in
         (select id from nomaly.restore_drills order by finished_at desc offset ${KEPT_DRILLS})`,
    )
    await connection.query(
      `insert into nomaly.audit_log (tenant_id, actor, action, subject_kind, subject_id, detail)
       values (null, 'operator', 'backup.drill', 'backup', $1, jsonb_build_object('verdict', $2::text, 'engine', $3::text))`,
      [drill.backupId, drill.verdict, drill.engine],
    )
  })
}

/** What metrics are made of. */
export interface BackupState {
  readonly sightings: readonly BackupSighting[]
  /** The newest drill of all, and the newest that has proven its backup. */
  readonly last: DrillRecord | undefined
  readonly lastProven: DrillRecord | undefined
}

/** What is known of backups and drills. */
export async function readBackupState(database: Database): Promise<BackupState> {
  return database.read({ role: 'nomaly_system', freshness: 'latest' }, async (connection) => {
    const sightings = await connection.query<BackupSighting & Record<string, unknown>>(
      `select engine, seen_at as "seenAt", last_backup_at as "lastBackupAt", bytes::float8 as bytes,
         duration_seconds as "durationSeconds", recoverable_from as "recoverableFrom", problem from nomaly.backup_sightings`,
    )
    const newest = async (where: string): Promise<DrillRecord | undefined> => {
      const [row] = await connection.query<DrillRecord & Record<string, unknown>>(
        `select id, engine, backup_id as "backupId", recovered_to as "recoveredTo", started_at as "startedAt",
           finished_at as "finishedAt", verdict, rto_seconds as "rtoSeconds", rpo_seconds as "rpoSeconds"
         from nomaly.restore_drills where ${where} order by finished_at desc limit 1`,
      )
      return row
    }
    return { sightings, last: await newest('true'), lastProven: await newest("verdict = 'proven'") }
  })
}

async function asSystem(
  database: Database,
  work: (connection: Connection) => Promise<unknown>,
): Promise<void> {
  await database.transaction({ role: 'nomaly_system' }, work)
}
