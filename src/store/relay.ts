import type { Cache } from '../cache/cache.ts'
import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import type { Notifier } from '../notifications/notifier.ts'
import { WEBHOOK_SETTING } from '../notifications/webhook.ts'
import type { TaskQueue } from '../queue/task-queue.ts'
import { RAISE_TOPIC } from './outbox.ts'

interface MovedEvent {
  readonly id: string
  readonly tenant_id: string
  readonly topic: string
  readonly payload: { readonly id?: string; readonly change?: string }
}

/** Any number will do, as long as every process takes the same. */
const RELAY_LOCK = 4_207_310_002
const BATCH = 500
/** Much longer than a commit can stay unknown. */
const KEEP_MARKERS = '1 hour'
const PRUNE_BATCH = 10_000

/**
 * Moves what committed transactions left in the outbox on to those who listen: numbers it, tells every process, and makes
 * tasks for webhooks. One process at a time does so, whichever comes first.
 * @returns how many events were moved.
 */
export async function relayOutbox(database: Database, queue: TaskQueue, notifier: Notifier): Promise<number> {
  const { value: moved } = await database.transaction({ role: 'nomaly_system' }, async (connection) => {
    const [lock] = await connection.query<{ taken: boolean }>(
      'select pg_try_advisory_xact_lock($1) as taken',
      [RELAY_LOCK],
    )
    if (lock?.taken !== true) return []
    const events = await connection.query<MovedEvent & Record<string, unknown>>(
      `with batch as (select id from nomaly.outbox where topic <> $2 order by id limit $1),
            moved as (delete from nomaly.outbox using batch where outbox.id = batch.id returning outbox.*)
       insert into nomaly.events (tenant_id, topic, payload)
       select tenant_id, topic, payload from moved order by id
       returning id, tenant_id, topic, payload`,
      [BATCH, RAISE_TOPIC],
    )
    const opened = events.filter(({ topic, payload }) => topic === 'anomaly' && payload.change === 'opened')
    const hooked = await tenantsWithWebhook(connection, opened)
    for (const { id, tenant_id: tenantId, payload } of opened)
      if (hooked.has(tenantId) && payload.id !== undefined)
        await queue.send(
          connection,
          'deliver-webhook',
          { tenantId, anomalyId: payload.id, deliveryId: id },
          { key: id, back: 'nomaly_system' },
        )
    return events
  })
  for (const tenantId of new Set(moved.map((event) => event.tenant_id)))
    notifier.publish({ channel: 'events', tenantId, id: '' })
  return moved.length
}

/**
 * Tells the cache once more what committed transactions touched, in case the process died that should have told it. What was told is taken out
 * only then: any number of processes may do so at once.
 */
export async function relayRaises(database: Database, cache: Pick<Cache, 'raise'>): Promise<void> {
  for (;;) {
    const owed = await database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
      connection.query<{ id: string; tenant_id: string; tags: string[] }>(
        `select id, tenant_id, payload->'tags' as tags from nomaly.outbox where topic = $1 order by id limit $2`,
        [RAISE_TOPIC, BATCH],
      ),
    )
    if (owed.length === 0) return
    const position = await database.position()
    for (const { tenant_id: tenantId, tags } of owed) await cache.raise({ tenantId }, tags, position)
    await database.transaction({ role: 'nomaly_system' }, (connection) =>
      connection.query('delete from nomaly.outbox where id = any($1::bigint[])', [owed.map(({ id }) => id)]),
    )
    if (owed.length < BATCH) return
  }
}

async function tenantsWithWebhook(
  connection: Connection,
  events: readonly MovedEvent[],
): Promise<Set<string>> {
  if (events.length === 0) return new Set()
  const rows = await connection.query<{ tenant_id: string }>(
    'select tenant_id from nomaly.settings where name = $1 and tenant_id = any($2::uuid[])',
    [WEBHOOK_SETTING, [...new Set(events.map((event) => event.tenant_id))]],
  )
  return new Set(rows.map((row) => row.tenant_id))
}

/** Removes events and commit markers that nobody will ask for any more, some thousand at a time. */
export async function pruneHistory(database: Database, eventRetentionHours: number): Promise<void> {
  const keepHours = Math.round(eventRetentionHours)
  // The newest of each tenant stays: it says up to where numbers were given out, however long nothing happens.
  await deleteOld(
    database,
    'events',
    'id',
    `published_at < now() - interval '${keepHours} hours'
       and exists (select from nomaly.events newer where newer.tenant_id = events.tenant_id and newer.id > events.id)`,
  )
  await pruneMarkers(database)
}

/** Of a database that has no events: that of the metrics. */
export async function pruneMarkers(database: Database): Promise<void> {
  await deleteOld(database, 'commit_markers', 'marker', `written_at < now() - interval '${KEEP_MARKERS}'`)
}

async function deleteOld(database: Database, table: string, key: string, condition: string): Promise<void> {
  for (;;) {
    const { value } = await database.transaction({ role: 'nomaly_system' }, (connection) =>
      connection.query(
        `delete from nomaly.${table} where ${key} in
           (select ${key} from nomaly.${table} where ${condition} limit ${PRUNE_BATCH}) returning 1 as one`,
      ),
    )
    if (value.length < PRUNE_BATCH) return
  }
}
