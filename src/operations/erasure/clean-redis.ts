import { setTimeout as sleep } from 'node:timers/promises'
import { openMasters } from '../../redis/open-masters.ts'
import type { RedisClient } from '../../redis/client.ts'
import type { ErasureSubject } from './erasure.ts'

export interface RedisReport {
  /** Keys that were removed. */
  readonly keys: number
  /** Sentences on what is left. */
  readonly left: readonly string[]
}

export interface RedisPlace {
  readonly url: string
  /** What all keys begin with. */
  readonly prefix: string
  readonly timeoutMs: number
}

const AT_ONCE = 500
const PERSIST_TIMEOUT_MS = 600_000
const LOOK_EVERY_MS = 200

/**
 * Removes from Redis what is cached of the tenant of a subject, and copies of the sessions that are erased, what is counted of their
 * requests, and has its files on disk
 * written anew, which hold what is gone until then. Floors may vanish at any time: nothing stale is served for it.
 */
export async function cleanRedis(
  { url, prefix, timeoutMs }: RedisPlace,
  subject: ErasureSubject,
  signal: AbortSignal,
): Promise<RedisReport> {
  await using masters = await openMasters(url, { connectTimeoutMs: Math.max(5_000, 4 * timeoutMs), signal })
  let keys = 0
  const left: string[] = []
  for (const client of masters.clients) {
    const { tenantId } = subject
    if (tenantId !== undefined) keys += await remove(client, `${prefix}cache:{${tenantId}}*`, signal)
    if (subject.kind !== 'series')
      keys += await remove(client, `${prefix}session:*`, signal, (copy) => isErased(copy, subject))
    for (const id of countedIds(subject)) keys += await remove(client, `${prefix}rate:*:${id}`, signal)
    left.push(...(await writeAnew(client, signal)))
  }
  return { keys, left: [...new Set(left)] }
}

/** Under which requests are counted. */
function countedIds(subject: ErasureSubject): readonly string[] {
  if (subject.kind === 'tenant') return [subject.tenantId]
  return subject.kind === 'user' ? subject.keyIds : []
}

async function remove(
  client: RedisClient,
  pattern: string,
  signal: AbortSignal,
  isWanted?: (value: string) => boolean,
): Promise<number> {
  let removed = 0
  for await (const keys of client.scanIterator({ MATCH: pattern, COUNT: AT_ONCE })) {
    signal.throwIfAborted()
    const values = isWanted === undefined ? [] : await Promise.all(keys.map((key) => client.get(key)))
    const doomed = isWanted === undefined ? keys : keys.filter((_, index) => isWanted(values[index] ?? ''))
    // One by one: of a Cluster they may be in several slots.
    const counts = await Promise.all(doomed.map((key) => client.unlink(key)))
    removed += counts.reduce((sum, count) => sum + count, 0)
  }
  return removed
}

/** A copy of a session: the run id of its server, a line feed, and the session. */
function isErased(copy: string, subject: ErasureSubject): boolean {
  if (subject.tenantId === undefined || !copy.includes(subject.tenantId)) return false
  return (
    subject.kind === 'tenant' || (subject.kind === 'user' && subject.keyIds.some((id) => copy.includes(id)))
  )
}

/** Has the server write its files anew, where it keeps any, and waits for it. */
async function writeAnew(client: RedisClient, signal: AbortSignal): Promise<string[]> {
  try {
    const info = await client.info('persistence')
    const hasLog = info.includes('aof_enabled:1')
    const save = (await client.configGet('save'))['save'] ?? ''
    if (hasLog) await client.bgRewriteAof()
    if (hasLog && !(await finished(client, 'aof_rewrite', signal)))
      return [
        'Redis did not finish writing its append-only file anew: what is erased stands in it until it does.',
      ]
    if (save !== '') await client.sendCommand(['BGSAVE', 'SCHEDULE'])
    if (save !== '' && !(await finished(client, 'rdb_bgsave', signal)))
      return ['Redis did not finish writing its dump anew: what is erased stands in it until it does.']
    return []
  } catch (error) {
    signal.throwIfAborted()
    return [
      `Redis would not write its files anew (${(error as Error).message}): what is erased stands in them until it does; have it done with BGREWRITEAOF and BGSAVE.`,
    ]
  }
}

async function finished(client: RedisClient, what: string, signal: AbortSignal): Promise<boolean> {
  const giveUpAt = performance.now() + PERSIST_TIMEOUT_MS
  while (performance.now() < giveUpAt) {
    const info = await client.info('persistence')
    const isBusy = info.includes(`${what}_in_progress:1`) || info.includes('aof_rewrite_scheduled:1')
    if (!isBusy) return true
    await sleep(LOOK_EVERY_MS, undefined, { signal })
  }
  return false
}
