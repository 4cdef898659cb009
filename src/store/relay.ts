import type { Database } from '../database/database.ts'
import type { Notifier } from '../notifications/notifier.ts'
import { WEBHOOK_SETTING } from '../notifications/webhook.ts'
import type { TaskQueue } from '../queue/task-queue.ts'

interface MovedEvent {
  readonly id: string
  readonly tenant_id: string
  readonly topic: string
  readonly payload: { readonly id?: string; readonly change?: string }
}

/** Any number will do, as long as every process takes the same. */
const RELAY_LOCK = 4_207_310_002
const BATCH = 500
const KEEP_EVENTS = '24 hours'

/**
 * Moves what committed transactions left in the outbox on to those who listen: numbers it, tells every process, and makes
 * tasks for webhooks. One process at a time does so, whichever comes first.
 * @returns how many events were moved.
 */
export async function relayOutbox(database: Database, queue: TaskQueue, notifier: Notifier): Promise<number> {
  const { value: moved } = await database.transaction({ role: 'nomaly_system' }, async (connection) => {
    const [lock] = await connection.query<{ taken: boolean }>('select pg_try_advisory_xact_lock($1) as taken', [RELAY_LOCK])
    if (lock?.taken !== true) return []
    const events = await connection.query<MovedEvent & Record<string, unknown>>(
      `with batch as (select id from nomaly.outbox order by id limit $1),
            moved as (delete from nomaly.outbox using batch where outbox.id = batch.id returning outbox.*)
       insert into nomaly.events (tenant_id, topic, payload)
       select tenant_id, topic, payload from moved order by id
       returning id, tenant_id, topic, payload`,
      [BATCH],
    )
    for (const event of events) {
      if (event.topic !== 'anomaly' || event.payload.change !== 'opened' || event.payload.id === undefined) continue
      const hooks = await connection.query('select from nomaly.settings where tenant_id = $1 and name = $2', [
        event.tenant_id,
        WEBHOOK_SETTING,
      ])
      if (hooks.length === 0) continue
      await queue.send(
        connection,
        'deliver-webhook',
        { tenantId: event.tenant_id, anomalyId: event.payload.id, deliveryId: event.id },
        { key: event.id, back: 'nomaly_system' },
      )
    }
    return events
  })
  for (const tenantId of new Set(moved.map((event) => event.tenant_id)))
    await notifier.publish({ channel: 'events', tenantId, id: '' })
  return moved.length
}

/** Removes events and commit markers that nobody will ask for any more. */
export async function pruneHistory(database: Database): Promise<void> {
  await database.transaction({ role: 'nomaly_system' }, async (connection) => {
    await connection.query(`delete from nomaly.events where published_at < now() - interval '${KEEP_EVENTS}'`)
    await connection.query("delete from nomaly.commit_markers where written_at < now() - interval '1 day'")
  })
}
