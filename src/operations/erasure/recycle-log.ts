import { setTimeout as sleep } from 'node:timers/promises'
import type { AdminSession } from './admin-session.ts'
import type { LogRecycling } from './receipt.ts'

/** How long what is still to be archived is waited for. */
const ARCHIVE_TIMEOUT_MS = 120_000
const PAUSE_MS = 500
/** Segments that are filled before a checkpoint lets go of them, so that they do not fill a disk: 256 MB as a server is made by default. */
const SEGMENTS_AT_ONCE = 16

export interface RecyclingReport {
  readonly log: LogRecycling
  readonly left: readonly string[]
}

/**
 * Gets rid of what was written to the log until now. A segment that is done with is not removed but renamed, to be written again later, and
 * holds what it held until then (PostgreSQL manual, WAL Configuration): so the server is told not to for a while, all that lie ready are filled, which
 * writes over them, and checkpoints remove them. Needs a superuser.
 */
export async function recycleLog(
  database: AdminSession,
  label: string,
  signal: AbortSignal,
  onSegment: (done: number, total: number) => void = () => {},
): Promise<RecyclingReport> {
  if (!database.isSuperuser)
    return {
      log: { database: label, segments: 0, isClean: false },
      left: [
        `The write-ahead log of ${label} was not emptied, which takes a superuser: what was written there goes as the server writes over it, and in archives of it with the backups that they belong to.`,
      ],
    }
  const { client } = database
  const before = new Set(await segments(database))
  const { rows } = await client.query<{ setting: string }>(
    "select setting from pg_file_settings where name = 'wal_recycle' and sourcefile like '%postgresql.auto.conf'",
  )
  await client.query('alter system set wal_recycle = off')
  try {
    await reload(database)
    const current = await currentSegment(database)
    const total = [...before].filter((name) => name > current).length + 1
    for (let done = 0; done < total; done++) {
      signal.throwIfAborted()
      onSegment(done, total)
      await fillSegment(database)
      if (done % SEGMENTS_AT_ONCE === SEGMENTS_AT_ONCE - 1) await client.query('checkpoint')
    }
    await client.query('checkpoint')
    const left = await awaitArchive(database, current, signal)
    const now = (await segments(database)).filter((name) => before.has(name) && name <= current)
    return {
      log: { database: label, segments: before.size, isClean: now.length === 0 },
      left:
        now.length === 0
          ? []
          : [`${now.length} segments of the write-ahead log of ${label} are still kept: ${left}.`],
    }
  } finally {
    const [own] = rows
    await client
      .query(
        own === undefined
          ? 'alter system reset wal_recycle'
          : `alter system set wal_recycle = ${own.setting === 'off' ? 'off' : 'on'}`,
      )
      .then(() => client.query('select pg_reload_conf()'))
      .catch(() => {})
  }
}

async function reload({ client }: AdminSession): Promise<void> {
  await client.query('select pg_reload_conf()')
  // The checkpointer reads its settings before its next checkpoint; that of this connection says that the signal has gone round.
  for (let tries = 0; tries < 100; tries++) {
    const { rows } = await client.query<{ value: string }>("select current_setting('wal_recycle') as value")
    if (rows[0]!.value === 'off') return
    await sleep(50)
  }
}

/** The rest of a segment that is switched away from is written with zeros. */
async function fillSegment({ client }: AdminSession): Promise<void> {
  await client.query("select pg_logical_emit_message(false, 'nomaly', 'erasure')")
  await client.query('select pg_switch_wal()')
}

/** Waits for the archiver, and lets the server go of what it has done; answers why something is kept all the same. */
async function awaitArchive(database: AdminSession, until: string, signal: AbortSignal): Promise<string> {
  const { client } = database
  const isBehind = async (): Promise<boolean> => {
    const { rows } = await client.query<{ name: string }>(
      "select name from pg_ls_archive_statusdir() where name like '%.ready' and left(name, 24) <= $1",
      [until],
    )
    return rows.length > 0
  }
  const giveUpAt = performance.now() + ARCHIVE_TIMEOUT_MS
  let behind = await isBehind()
  while (behind && performance.now() < giveUpAt) {
    await sleep(PAUSE_MS, undefined, { signal })
    behind = await isBehind()
  }
  await client.query('checkpoint')
  const { rows } = await client.query<{ slots: string | null; keep: string }>(
    `select string_agg(quote_ident(slot_name), ', ') as slots, current_setting('wal_keep_size') as keep
     from pg_replication_slots where restart_lsn is not null`,
  )
  const { slots, keep } = rows[0]!
  if (behind) return 'they are not archived yet'
  if (slots !== null) return `a standby or the replication slot ${slots} has not had them yet`
  return `wal_keep_size is ${keep}`
}

async function segments({ client }: AdminSession): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    "select name from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$' order by 1",
  )
  return rows.map(({ name }) => name)
}

async function currentSegment({ client }: AdminSession): Promise<string> {
  const { rows } = await client.query<{ name: string }>(
    'select pg_walfile_name(pg_current_wal_insert_lsn()) as name',
  )
  return rows[0]!.name
}
