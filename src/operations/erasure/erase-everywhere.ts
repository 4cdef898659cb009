import { setTimeout as sleep } from 'node:timers/promises'
import { NomalyError } from '../../errors.ts'
import { formatNotification, NOTIFICATION_CHANNEL } from '../../notifications/notifier.ts'
import type { AdminSession } from './admin-session.ts'
import { cleanRedis, type RedisReport } from './clean-redis.ts'
import type { ErasedCounts, Erasure, ErasureSubject } from './erasure.ts'
import { noteApplied, noteErasure, noteProgress, readApplied, readLedger } from './erasure-ledger.ts'
import type { ErasureSite, ErasureWork } from './erasure-site.ts'
import type { LogRecycling, RewrittenTable } from './receipt.ts'
import { recycleLog } from './recycle-log.ts'
import { type ProgressKeeper, removeRows } from './remove-rows.ts'
import { rewriteTables } from './rewrite-tables.ts'

/** What became of it everywhere but in backups. */
export interface Erased {
  readonly removed: ErasedCounts
  readonly rewritten: readonly RewrittenTable[]
  readonly writeAheadLogs: readonly LogRecycling[]
  readonly redisKeys: number | null
  readonly left: readonly string[]
}

/** Any number will do, as long as every process takes the same. */
const ERASER_LOCK = 4_207_310_023

const LOOK_EVERY_MS = 500

/**
 * Runs work while no other process erases from these databases.
 * @param onWait where one that is at it is to be waited for: called when there is one.
 * @throws NomalyError `conflict` where one is at it and is not waited for.
 */
export async function asEraser<T>(
  { core }: ErasureSite,
  signal: AbortSignal,
  work: () => Promise<T>,
  onWait?: () => void,
): Promise<T> {
  for (let tries = 0; !(await takeLock(core)); tries++) {
    if (onWait === undefined)
      throw new NomalyError('conflict', 'Another process erases something at this moment.', {
        hint: 'Wait until it has ended; `nomaly erase --list` shows what it is at.',
      })
    if (tries === 0) onWait()
    await sleep(LOOK_EVERY_MS, undefined, { signal })
  }
  try {
    return await work()
  } finally {
    await core.client.query('select pg_advisory_unlock($1)', [ERASER_LOCK]).catch(() => {})
  }
}

async function takeLock({ client }: AdminSession): Promise<boolean> {
  const { rows } = await client.query<{ taken: boolean }>('select pg_try_advisory_lock($1) as taken', [
    ERASER_LOCK,
  ])
  return rows[0]!.taken
}

/**
 * Erases a subject from an installation: its rows, then what is left of them in files of tables, then in the log, and in Redis. Goes on where it was
 * interrupted, and may be repeated without harm; so it also does again what a restored database has not seen.
 * @throws NomalyError `unavailable` where Redis is away at the end.
 */
export async function eraseEverywhere(
  site: ErasureSite,
  erasure: Erasure,
  requestedBy: string,
  work: ErasureWork,
): Promise<Erased> {
  const { core } = site
  const { subject } = erasure
  await noteErasure(core, erasure, requestedBy)
  const keeper = await openKeeper(site, erasure.id)
  const sessions = sessionsOf(site)
  // One of two databases may have been restored by itself.
  let isApplied = true
  for (const [, session] of sessions) isApplied &&= (await readApplied(session)).has(erasure.id)
  if (!isApplied || keeper.current.isRemoved !== true) await removeRows(site, erasure, keeper, work)
  for (const [, session] of sessions) await noteApplied(session, erasure.id)
  await tellProcesses(core, subject.tenantId)
  // Where Redis is away now, it is cleaned when the rest is done.
  const early = await clean(site, subject, work).catch(() => undefined)

  const rewritten: RewrittenTable[] = []
  const writeAheadLogs: LogRecycling[] = []
  const left: string[] = []
  for (const [label, session] of sessions) {
    const names = keeper.current.tables?.[label] ?? []
    const report = await rewriteTables(session, label, names, work.signal, (done) =>
      work.progress?.({ step: 'rewriting tables', done, total: names.length }),
    )
    rewritten.push(...report.rewritten)
    left.push(...report.left)
  }
  for (const [label, session] of sessions) {
    const report = await recycleLog(session, label, work.signal, (done, total) =>
      work.progress?.({ step: 'emptying the log', done, total }),
    )
    writeAheadLogs.push(report.log)
    left.push(...report.left)
  }
  // Once more: who had read the rows just before they went may have kept what it made of them just after.
  const late = await clean(site, subject, work)
  left.push(...(late?.left ?? []))
  const redisKeys = late === undefined ? null : (early?.keys ?? 0) + late.keys
  return { removed: keeper.current.removed ?? {}, rewritten, writeAheadLogs, redisKeys, left }
}

function sessionsOf({ core, metrics }: ErasureSite): [label: string, session: AdminSession][] {
  const both: [string, AdminSession][] = [
    ['core', core],
    ['metrics', metrics.admin],
  ]
  return metrics.admin === core ? both.slice(0, 1) : both
}

async function clean(
  { redis }: ErasureSite,
  subject: ErasureSubject,
  work: ErasureWork,
): Promise<RedisReport | undefined> {
  if (redis === undefined) return undefined
  work.progress?.({ step: 'cleaning Redis', done: 0, total: 1 })
  try {
    return await cleanRedis(redis, subject, work.signal)
  } catch (error) {
    work.signal.throwIfAborted()
    throw new NomalyError('unavailable', `Redis could not be cleaned: ${(error as Error).message}`, {
      hint: 'Go on with `nomaly erase --resume` when it answers again. The databases are done.',
      cause: error,
    })
  }
}

async function openKeeper({ core }: ErasureSite, id: string): Promise<ProgressKeeper> {
  let current = (await readLedger(core)).find((entry) => entry.id === id)!.progress
  return {
    get current() {
      return current
    },
    async note(change) {
      current = { ...current, ...change }
      await noteProgress(core, id, current)
    },
  }
}

/** Has processes that run let go of what they remember of keys and answers of a tenant. */
async function tellProcesses({ client }: AdminSession, tenantId: string | undefined): Promise<void> {
  if (tenantId === undefined) return
  for (const channel of ['keys', 'cache'] as const)
    await client.query('select pg_notify($1, $2)', [
      NOTIFICATION_CHANNEL,
      formatNotification({ channel, tenantId, id: '' }),
    ])
}
