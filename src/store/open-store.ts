import { Identities } from '../access/identities.ts'
import { Tenants } from '../access/tenants.ts'
import type { Config } from '../config/profiles.ts'
import { Database } from '../database/database.ts'
import { PartitionedEngine } from '../metrics/partitioned-engine.ts'
import { PostgresNotifier } from '../notifications/postgres-notifier.ts'
import { TaskQueue } from '../queue/task-queue.ts'
import { Store } from './store.ts'

type StoreConfig = Pick<
  Config,
  'databaseConnections' | 'acquireTimeoutMs' | 'statementTimeoutMs' | 'commitTimeoutMs'
>

/** Opens the database tier: the one place that decides which adapters stand behind the ports. */
export async function openStore(
  config: StoreConfig,
  databaseUrl: string,
  log: (message: string) => void,
): Promise<Store> {
  const database = new Database({
    url: databaseUrl,
    applicationName: 'nomaly',
    maxConnections: config.databaseConnections,
    acquireTimeoutMs: config.acquireTimeoutMs,
    statementTimeoutMs: config.statementTimeoutMs,
    commitTimeoutMs: config.commitTimeoutMs,
    log,
  })
  try {
    const notifier = await PostgresNotifier.connect(databaseUrl, log)
    const queue = new TaskQueue(databaseUrl, log)
    await queue.start()
    const identities = new Identities(database)
    notifier.subscribe(({ channel }) => channel === 'keys' && identities.forget())
    return new Store({
      database,
      metrics: new PartitionedEngine({ database, clock: Date.now }),
      notifier,
      queue,
      identities,
      tenants: new Tenants(database),
    })
  } catch (error) {
    await database[Symbol.asyncDispose]()
    throw error
  }
}
