import { whileAlone } from '../database/advisory-lock.ts'
import { takeSnapshots } from '../jobs/detector-snapshots.ts'
import type { Store } from '../store/store.ts'

/** Any number will do, as long as every process takes the same. */
const SNAPSHOT_LOCK = 4_207_310_021
const EVERY_MINUTES = 60
/** A drill finds states of between one hour and two before the moment that it restores, and one more where a round was missed. */
const KEEP_MINUTES = 190

/**
 * Sets states of detectors aside, of at most so many series, so that a drill can replay what was done since: about an hour of it. One process at
 * a time does so.
 */
export async function keepDetectorStates(
  store: Store,
  maxSeries: number,
  signal: AbortSignal,
): Promise<void> {
  const { database } = store
  await whileAlone(database, SNAPSHOT_LOCK, { role: 'nomaly_system', signal }, () =>
    database.transaction({ role: 'nomaly_system', signal }, (connection) =>
      takeSnapshots(connection, { maxSeries, everyMinutes: EVERY_MINUTES, keepMinutes: KEEP_MINUTES }),
    ),
  )
}
