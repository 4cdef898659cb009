import { formatNotification, NOTIFICATION_CHANNEL } from '../../notifications/notifier.ts'
import type { AdminSession } from './admin-session.ts'
import { cleanRedis } from './clean-redis.ts'
import type { ErasedCounts, Erasure } from './erasure.ts'
import { noteApplied, noteErasure, noteProgress, readApplied, readLedger } from './erasure-ledger.ts'
import { type ErasureSite, sessionsOf, type ErasureWork } from './erasure-site.ts'
import { type ProgressKeeper, removeRows } from './remove-rows.ts'

/** What nobody finds any more, and where traces of it stand. */
export interface ForgottenRows {
  readonly removed: ErasedCounts
  /** Tables whose files hold dead rows of it, by database. */
  readonly tables: Readonly<Record<string, readonly string[]>>
  /** Keys of Redis that went with it. */
  readonly redisKeys: number
}

/**
 * Erases the rows of a subject from the databases of an installation, and what Redis has of them. Goes on where it was interrupted, and may be repeated
 * without harm; so it also does again what a restored database has not seen.
 */
export async function forgetRows(
  site: ErasureSite,
  erasure: Erasure,
  requestedBy: string,
  work: ErasureWork,
): Promise<ForgottenRows> {
  const { core, redis } = site
  await noteErasure(core, erasure, requestedBy)
  const keeper = await openKeeper(site, erasure.id)
  const sessions = sessionsOf(site)
  // One of two databases may have been restored by itself.
  let isApplied = true
  for (const [, session] of sessions) isApplied &&= (await readApplied(session)).has(erasure.id)
  if (!isApplied || keeper.current.isRemoved !== true) await removeRows(site, erasure, keeper, work)
  for (const [, session] of sessions) await noteApplied(session, erasure.id)
  await tellProcesses(core, erasure.subject.tenantId)
  // Where Redis is away now, it is cleaned when the rest is done.
  const cleaned =
    redis === undefined
      ? undefined
      : await cleanRedis(redis, erasure.subject, work.signal).catch(() => undefined)
  work.signal.throwIfAborted()
  return {
    removed: keeper.current.removed ?? {},
    tables: keeper.current.tables ?? {},
    redisKeys: cleaned?.keys ?? 0,
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
