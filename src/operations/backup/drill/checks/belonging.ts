import { requireJoined } from '../../../../database/installation.ts'
import { findOrphanedSources, findOrphanedStates } from '../../../../workflows/find-orphans.ts'
import type { ProofCheck } from '../proof-check.ts'

/** Whether both databases are of one installation, and know the same datasets and series. */
export const belonging: ProofCheck = {
  name: 'both databases',
  shows: 'core and metrics belong together, and what one refers to the other has',
  async run({ core, metrics, signal }) {
    try {
      await requireJoined(core.database, metrics.database)
    } catch (error) {
      return { verdict: 'fail', says: (error as Error).message }
    }
    const store = { database: core.database, metricsDatabase: metrics.database }
    const sources = await findOrphanedSources(store, signal)
    const states = await findOrphanedStates(store, signal)
    const says = [
      `${states.unexplained} of ${states.total} series that detectors have learnt are missing from the metrics`,
      `${sources.unexplained} of ${sources.total} datasets that have points are unknown to the core`,
    ]
    if (states.unexplained > states.total / 2 || sources.unexplained > sources.total / 2)
      return { verdict: 'fail', says: 'One of the databases is older than the other.', details: says }
    // What was being made or removed at that moment: the product itself clears it up.
    if (states.unexplained + sources.unexplained > 0)
      return { verdict: 'warn', says: 'Not everything that one refers to the other has.', details: says }
    return {
      verdict: 'ok',
      says: `${sources.total} sources of points and ${states.total} states of detectors have their other half.`,
    }
  },
}
