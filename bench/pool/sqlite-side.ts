import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Worker } from 'node:worker_threads'
import { type Mix, STOCK, type Throughput, throughput, type TransactionalSide } from './mix.ts'
import type { ClientOrder } from './sqlite-client.ts'
import { SQLITE_PRAGMAS, SQLITE_SCHEMA } from './sqlite-schema.ts'

/** SQLite with the same tables: a thread and a connection for each client, no walls between tenants, no server. */
export class SqliteTransactions implements TransactionalSide {
  readonly #path: string
  readonly #tenantId = randomUUID()
  readonly #datasetId = randomUUID()
  readonly #detectorId = randomUUID()

  constructor(path: string) {
    this.#path = path
    const database = new DatabaseSync(path)
    database.exec(SQLITE_PRAGMAS)
    database.exec(SQLITE_SCHEMA)
    database.exec('begin')
    database.prepare("insert into tenants values (?, 'transactional')").run(this.#tenantId)
    database.prepare("insert into datasets values (?, ?, 'bench')").run(this.#datasetId, this.#tenantId)
    database.prepare("insert into detectors values (?, ?, 'bench')").run(this.#detectorId, this.#tenantId)
    const job = database.prepare(
      `insert into jobs (id, tenant_id, name, dataset_id, detector_id, schedule) values (?, ?, ?, ?, ?, '{"kind":"once"}')`,
    )
    for (let i = 0; i < STOCK.jobs; i++)
      job.run(randomUUID(), this.#tenantId, `job ${i}`, this.#datasetId, this.#detectorId)
    const user = database.prepare(
      "insert into api_keys (id, tenant_id, name, role, key_hash, prefix) values (?, ?, 'user', 'viewer', ?, 'bench')",
    )
    for (let i = 0; i < STOCK.users; i++) user.run(randomUUID(), this.#tenantId, randomBytes(32))
    const setting = database.prepare(
      "insert into settings (tenant_id, name, value, updated_by) values (?, ?, '{}', 'bench')",
    )
    for (let i = 0; i < STOCK.settings; i++) setting.run(this.#tenantId, `setting ${i}`)
    database.exec('commit')
    database.close()
  }

  async measure(mix: Mix, clients: number, seconds: number): Promise<Throughput> {
    const threads = Array.from({ length: clients }, (_, client) => {
      const order: ClientOrder = {
        path: this.#path,
        mix,
        client,
        seconds,
        tenantId: this.#tenantId,
        datasetId: this.#datasetId,
        detectorId: this.#detectorId,
      }
      return new Worker(join(import.meta.dirname, 'sqlite-client.ts'), { workerData: order })
    })
    try {
      await Promise.all(threads.map((thread) => once(thread, 'message')))
      const answers = threads.map((thread) => once(thread, 'message') as Promise<[number[]]>)
      for (const thread of threads) thread.postMessage('go')
      const latenciesMs = (await Promise.all(answers)).flatMap(([latencies]) => latencies)
      return throughput(latenciesMs, seconds)
    } finally {
      await Promise.all(threads.map((thread) => thread.terminate()))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
