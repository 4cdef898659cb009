import { createHash } from 'node:crypto'
import pg from 'pg'

/** The advisory lock that a living worker holds: 63 bits of a hash of its id, as decimal text. */
export function presenceKey(workerId: string): string {
  return (createHash('sha256').update(workerId).digest().readBigUInt64BE() >> 1n).toString()
}

/** Shows others that a worker lives, by a lock on a connection that ends with it. */
export class WorkerPresence implements AsyncDisposable {
  readonly #url: string
  readonly #workerId: string
  readonly #log: (message: string) => void
  #client: pg.Client | undefined

  constructor(url: string, workerId: string, log: (message: string) => void) {
    this.#url = url
    this.#workerId = workerId
    this.#log = log
  }

  /** Takes the lock, again where the connection was lost. Without it other workers take this one's runs over, which does no harm. */
  async keep(): Promise<void> {
    if (this.#client !== undefined) return
    const client = new pg.Client({
      connectionString: this.#url,
      application_name: 'nomaly worker',
      connectionTimeoutMillis: 5_000,
      query_timeout: 5_000,
      keepAlive: true,
    })
    const lost = (): void => {
      if (this.#client === client) this.#client = undefined
    }
    client.on('error', lost)
    client.on('end', lost)
    try {
      await client.connect()
      // Not waited for: where a connection that is lost still holds it, that shows the same.
      await client.query('select pg_try_advisory_lock($1)', [presenceKey(this.#workerId)])
      this.#client = client
    } catch (error) {
      this.#log(`The worker could not show its presence: ${(error as Error).message}`)
      await client.end().catch(() => {})
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const client = this.#client
    this.#client = undefined
    await client?.end().catch(() => {})
  }
}
