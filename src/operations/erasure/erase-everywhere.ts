import { NomalyError } from '../../errors.ts'
import { cleanRedis, type RedisReport } from './clean-redis.ts'
import type { Erasure, ErasedCounts, ErasureSubject } from './erasure.ts'
import type { ErasureSite, ErasureWork } from './erasure-site.ts'
import { forgetRows } from './forget-rows.ts'
import { forgetTraces, type ForgottenTraces } from './forget-traces.ts'

/** What became of it everywhere but in backups. */
export interface Erased extends ForgottenTraces {
  readonly removed: ErasedCounts
  readonly redisKeys: number | null
}

/** An erasure, and who asked for it. */
export interface RequestedErasure extends Erasure {
  readonly requestedBy: string
}

/**
 * Erases from an installation, one erasure after the other: rows, and then for all of them together what is left in files of tables and in the log,
 * and in Redis; answers what became of each. Traces are those of all, wherever one of them is asked for.
 * @throws NomalyError `unavailable` where Redis is away at the end.
 */
export async function eraseEverywhere(
  site: ErasureSite,
  erasures: readonly RequestedErasure[],
  work: ErasureWork,
): Promise<Map<string, Erased>> {
  const rows = []
  for (const erasure of erasures)
    rows.push({ erasure, ...(await forgetRows(site, erasure, erasure.requestedBy, work)) })
  const tables: Record<string, string[]> = {}
  for (const one of rows)
    for (const [label, names] of Object.entries(one.tables))
      tables[label] = [...new Set([...(tables[label] ?? []), ...names])]
  const traces = await forgetTraces(site, tables, work)
  const erased = new Map<string, Erased>()
  for (const { erasure, removed, redisKeys } of rows) {
    // Once more: who had read the rows just before they went may have kept what it made of them just after.
    const late = await clean(site, erasure.subject, work)
    erased.set(erasure.id, {
      ...traces,
      removed,
      redisKeys: late === undefined ? null : redisKeys + late.keys,
      left: [...traces.left, ...(late?.left ?? [])],
    })
  }
  return erased
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
