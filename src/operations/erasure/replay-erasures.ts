import { eraseEverywhere } from './erase-everywhere.ts'
import { asEraser } from './eraser-lock.ts'
import type { Erasure } from './erasure.ts'
import { noteReceipt, readApplied, readInstallationId, readLedger } from './erasure-ledger.ts'
import type { ErasureSite, ErasureWork } from './erasure-site.ts'

/** What a replay has done. */
export interface ReplayReport {
  /** Ids of the erasures that were done again. */
  readonly replayed: readonly string[]
  /** Sentences on what is left. */
  readonly left: readonly string[]
}

/** Who asked for an erasure whose database has forgotten that. */
const UNKNOWN = 'ledger'

/**
 * Does again, on databases that were restored, what their ledger does not know, and goes on with what was interrupted: to be called before anybody
 * else opens them. Costs a look where there is nothing to do. Erasures of other installations are left alone.
 * @param onWait where another process is at it, which is waited for.
 */
export async function replayErasures(
  ledger: readonly Erasure[],
  site: ErasureSite,
  work: ErasureWork,
  onWait: () => void = () => {},
): Promise<ReplayReport> {
  if ((await findPending(ledger, site)).length === 0) return { replayed: [], left: [] }
  return asEraser(
    site,
    work.signal,
    async () => {
      const pending = await findPending(ledger, site)
      if (pending.length === 0) return { replayed: [], left: [] }
      return { replayed: pending.map(({ id }) => id), left: await replay(pending, site, work) }
    },
    onWait,
  )
}

/** Answers what is left. */
async function replay(
  pending: readonly Erasure[],
  site: ErasureSite,
  work: ErasureWork,
): Promise<readonly string[]> {
  const known = new Map((await readLedger(site.core)).map((entry) => [entry.id, entry]))
  const erasures = pending.map((erasure) => ({
    ...erasure,
    requestedBy: known.get(erasure.id)?.requestedBy ?? UNKNOWN,
  }))
  try {
    const erased = await eraseEverywhere(site, erasures, work)
    for (const { id, subject, requestedBy, requestedAt } of erasures)
      await noteReceipt(site.core, id, {
        id,
        kind: subject.kind,
        requestedBy,
        requestedAt,
        finishedAt: work.now().toISOString(),
        ...erased.get(id)!,
        backups: { fresh: null, olderExpireAt: null },
      })
    return [...new Set([...erased.values()].flatMap(({ left }) => left))]
  } catch (error) {
    work.signal.throwIfAborted()
    // Once nobody can read it any more, nothing keeps the product from starting: not a Redis that is away, nor a disk too full to write tables
    // anew. Without a receipt it is gone on with the next time.
    if ((await findUnapplied(pending, site)).length > 0) throw error
    return [error instanceof Error ? error.message : String(error)]
  }
}

/** What one of the databases has not seen, or what nobody has finished. */
async function findPending(ledger: readonly Erasure[], site: ErasureSite): Promise<Erasure[]> {
  if (ledger.length === 0) return []
  const installationId = await readInstallationId(site.core)
  const own = ledger.filter((erasure) => erasure.installationId === installationId)
  const unapplied = await findUnapplied(own, site)
  const entries = new Map((await readLedger(site.core)).map((entry) => [entry.id, entry]))
  return own
    .filter((erasure) => unapplied.includes(erasure) || entries.get(erasure.id)?.receipt === undefined)
    .toSorted((a, b) => (a.requestedAt < b.requestedAt ? -1 : 1))
}

async function findUnapplied(ledger: readonly Erasure[], { core, metrics }: ErasureSite): Promise<Erasure[]> {
  const inCore = await readApplied(core)
  const inMetrics = metrics.admin === core ? inCore : await readApplied(metrics.admin)
  return ledger.filter(({ id }) => !inCore.has(id) || !inMetrics.has(id))
}
