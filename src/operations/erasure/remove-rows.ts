import { erasePerson } from './erase-person.ts'
import { countFindings, eraseFindings } from './erase-findings.ts'
import { countPoints, erasePoints, findSources, requireOneEngine } from './erase-points.ts'
import { countTenant, eraseTenant } from './erase-tenant.ts'
import {
  addCounts,
  type ErasedCounts,
  type Erasure,
  type SeriesSubject,
  type TenantSubject,
} from './erasure.ts'
import type { ErasureProgress } from './erasure-ledger.ts'
import type { ErasureSite, ErasureWork } from './erasure-site.ts'
import { PERSON_RECORDS } from './person-records.ts'
import { tablesHolding } from './touched-tables.ts'

/** Whoever was at work on what is removed may store something once more; and then not again, for what it needs is gone. */
const ROUNDS = 5

/** Keeps how far an erasure has come. */
export interface ProgressKeeper {
  readonly current: ErasureProgress
  note(change: ErasureProgress): Promise<void>
}

/**
 * Removes the rows of a subject from the databases, until there are none. Which tables they are in is noted before: afterwards nobody could tell
 * in which files they stand.
 */
export async function removeRows(
  site: ErasureSite,
  erasure: Erasure,
  keeper: ProgressKeeper,
  work: ErasureWork,
): Promise<void> {
  const { subject } = erasure
  for (let round = 1; round <= ROUNDS; round++) {
    work.signal.throwIfAborted()
    const removed =
      subject.kind === 'user'
        ? await removePerson(site, erasure, keeper, work)
        : await removeData(site, subject, keeper, work)
    await keeper.note({ removed: addCounts(keeper.current.removed ?? {}, removed) })
    if (Object.values(removed).every((count) => count === 0)) break
  }
  await keeper.note({ isRemoved: true })
}

async function removePerson(
  { core }: ErasureSite,
  erasure: Erasure,
  keeper: ProgressKeeper,
  { signal }: ErasureWork,
): Promise<ErasedCounts> {
  if (erasure.subject.kind !== 'user') return {}
  const tables = PERSON_RECORDS.map(({ table }) => table)
  await noteTables(keeper, 'core', [...tables, 'nomaly.session_revocations'])
  return erasePerson(core, erasure, erasure.subject, signal)
}

async function removeData(
  site: ErasureSite,
  subject: TenantSubject | SeriesSubject,
  keeper: ProgressKeeper,
  work: ErasureWork,
): Promise<ErasedCounts> {
  const { core, metrics } = site
  const side = await requireOneEngine(metrics)
  const sources = await findSources(metrics, subject)
  const series = sources.flatMap((source) => source.series)
  if (series.length > 0 || subject.kind === 'tenant')
    await noteTables(
      keeper,
      metrics.admin === core ? 'core' : 'metrics',
      await tablesHolding(metrics.admin, side.engine.name, series),
    )
  const { points = 0 } = await countPoints(metrics, side, sources)
  const removePoints = (): Promise<ErasedCounts> =>
    erasePoints(
      metrics,
      side,
      subject,
      sources,
      (done) => work.progress?.({ step: 'removing points', done, total: sources.length }),
      work.signal,
    )
  if (subject.kind === 'series') {
    const tables = Object.keys(await countFindings(core, subject))
    await noteTables(keeper, 'core', [...tables, 'nomaly.idempotency_keys', 'pgboss.job'])
    // Points first: then detectors find nothing any more that they could tell of.
    const removed = await removePoints()
    return addCounts({ points }, removed, await eraseFindings(core, subject))
  }
  const tables = Object.entries(await countTenant(core, subject))
    .filter(([name, count]) => name.startsWith('nomaly.') && count > 0)
    .map(([name]) => name)
  await noteTables(keeper, 'core', [...tables, 'nomaly.orphans', 'pgboss.job'])
  // The tenant first: then nobody can write points for it any more.
  const removed = await eraseTenant(core, subject)
  return addCounts({ points }, removed, await removePoints())
}

async function noteTables(keeper: ProgressKeeper, database: string, names: readonly string[]): Promise<void> {
  const known = keeper.current.tables ?? {}
  const all = [...new Set([...(known[database] ?? []), ...names])].toSorted()
  if (all.length > (known[database] ?? []).length)
    await keeper.note({ tables: { ...known, [database]: all } })
}
