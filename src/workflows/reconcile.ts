import { whileAlone } from '../database/advisory-lock.ts'
import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import { requireJoined } from '../database/installation.ts'
import { forgetOrphans, noteOrphans, type Orphan } from '../database/orphans.ts'
import { forgetSeries } from '../jobs/watched-series.ts'
import { readSourcesOf } from '../metrics/stored-sources.ts'
import type { Store } from '../store/store.ts'
import { findOrphanedSources, findOrphanedStates, type OrphanSearch } from './find-orphans.ts'

/** What a round of {@link reconcile} has found and done. */
export interface ReconcileReport {
  readonly found: { readonly sources: number; readonly detectorStates: number }
  /** Sources are handed to the queue, which removes their points. */
  readonly removed: { readonly sources: number; readonly detectorStates: number }
  /** Why nothing is removed, a sentence each; empty where nothing speaks against it. */
  readonly doubts: readonly string[]
}

/** Any number will do, as long as every process takes the same. */
const RECONCILE_LOCK = 4_207_310_003
/** What one round removes at most; the next goes on. */
const SOURCES_A_ROUND = 500
const STATES_AT_ONCE = 1_000

/**
 * Finds what is left over in one database of what the other has lost: points of datasets that are gone, and what detectors have learnt of
 * series that are gone. A write may get into either of them and not into the other, a task may have died, and a database may be restored
 * from a backup. What still is so an hour after it was first seen is removed. One process at a time does so, whichever comes first.
 * @returns `undefined` where another process is at it.
 * @throws NomalyError `conflict` where the databases do not belong together, `unavailable` where one of them is away: nothing is removed then.
 */
export async function reconcile(store: Store, signal: AbortSignal): Promise<ReconcileReport | undefined> {
  return whileAlone(store.database, RECONCILE_LOCK, { role: 'nomaly_system', signal }, () =>
    reconcileAlone(store, signal),
  )
}

async function reconcileAlone(store: Store, signal: AbortSignal): Promise<ReconcileReport> {
  const { database, metricsDatabase } = store
  await requireJoined(database, metricsDatabase)
  const sources = await findOrphanedSources(store, signal)
  const states = await findOrphanedStates(store, signal)
  const found = { sources: sources.orphans.length, detectorStates: states.orphans.length }
  const doubts = doubtsAbout(sources, states)
  // What was noted counts no more: once the doubts are gone, the hour begins anew.
  const [noteSources, noteStates] = doubts.length > 0 ? [[], []] : [sources.orphans, states.orphans]
  const dueSources = await asSystem(metricsDatabase, signal, (connection) =>
    noteOrphans(connection, 'source', noteSources),
  )
  const dueStates = await asSystem(database, signal, (connection) =>
    noteOrphans(connection, 'detector-state', noteStates),
  )
  return {
    found,
    removed: {
      sources: await removeSources(store, dueSources.slice(0, SOURCES_A_ROUND), signal),
      detectorStates: await removeStates(store, dueStates, signal),
    },
    doubts,
  }
}

/** What speaks for a database that was restored to an older state than the other. */
function doubtsAbout(sources: OrphanSearch, states: OrphanSearch): string[] {
  const doubts: string[] = []
  if (sources.unexplained > sources.total / 2)
    doubts.push(
      `${sources.unexplained} of ${sources.total} datasets that have points are unknown to the core, and nobody has deleted them. ` +
        'It looks as if the core had been restored to an older state than the metrics.',
    )
  if (states.unexplained > states.total / 2)
    doubts.push(
      `${states.unexplained} of ${states.total} series that detectors have learnt are missing from the metrics. ` +
        'It looks as if the metrics had been restored to an older state than the core.',
    )
  return doubts
}

async function removeSources(store: Store, due: readonly Orphan[], signal: AbortSignal): Promise<number> {
  if (due.length === 0) return 0
  const tenants = new Set((await store.tenants.list()).map(({ id }) => id))
  let removed = 0
  for (const orphan of due) {
    signal.throwIfAborted()
    if (await handToQueue(store, orphan, tenants.has(orphan.tenantId))) removed += 1
    // It is noted anew should it still be there in an hour.
    await asSystem(store.metricsDatabase, signal, (connection) =>
      forgetOrphans(connection, 'source', [orphan]),
    )
  }
  return removed
}

/** In one transaction: what the audit log tells happens, however often the process dies. */
async function handToQueue(
  store: Store,
  { tenantId, ownerId }: Orphan,
  hasTenant: boolean,
): Promise<boolean> {
  const { value } = await store.transaction({ tenantId }, async (unit) => {
    if ((await unit.datasets.find(ownerId)) !== undefined) return false
    if (hasTenant)
      await unit.audit.record(
        'system',
        'dataset.reconcile',
        { kind: 'dataset', id: ownerId },
        { reason: 'points were left over of a dataset that is gone' },
      )
    await unit.queue.send('drop-source', { tenantId, sourceId: ownerId }, ownerId)
    return true
  })
  return value
}

async function removeStates(store: Store, due: readonly Orphan[], signal: AbortSignal): Promise<number> {
  const { database, metricsDatabase } = store
  let removed = 0
  for (let start = 0; start < due.length; start += STATES_AT_ONCE) {
    const some = due.slice(start, start + STATES_AT_ONCE)
    // Once more, at the last moment.
    const ids = some.map(({ seriesId }) => seriesId)
    const there = await metricsDatabase.read(
      { role: 'nomaly_system', freshness: 'latest', signal },
      (connection) => readSourcesOf(connection, ids),
    )
    const gone = some.filter(({ seriesId }) => !there.has(seriesId))
    removed += await asSystem(database, signal, async (connection) => {
      const watched = gone.map(({ tenantId, ownerId, seriesId }) => ({ tenantId, jobId: ownerId, seriesId }))
      const count = await forgetSeries(connection, watched)
      await forgetOrphans(connection, 'detector-state', some)
      return count
    })
  }
  return removed
}

async function asSystem<T>(
  database: Database,
  signal: AbortSignal,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const { value } = await database.transaction({ role: 'nomaly_system', signal }, work)
  return value
}
