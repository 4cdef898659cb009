import { createHash } from 'node:crypto'
import type pg from 'pg'
import { PrimaryFinder } from '../database/primary-finder.ts'

const CONNECT_TIMEOUT_MS = 10_000

/** The advisory lock that a living worker holds: 63 bits of a hash of its id, as decimal text. */
export function presenceKey(workerId: string): string {
  return (createHash('sha256').update(workerId).digest().readBigUInt64BE() >> 1n).toString()
}

/** Shows others that a worker lives, by a lock on a connection that ends with it. */
export class WorkerPresence implements AsyncDisposable {
  readonly #finder: PrimaryFinder
  readonly #workerId: string
  readonly #log: (message: string) => void
  #client: pg.Client | undefined

  constructor(url: string, workerId: string, log: (message: string) => void) {
    this.#finder = new PrimaryFinder(url)
    this.#workerId = workerId
    this.#log = log
  }

  /** Takes the lock, again where the connection was lost. Without it other workers take this one's runs over, which does no harm. */
  async keep(): Promise<void> {
    if (this.#client !== undefined) return
    let client: pg.Client | undefined
    const lost = (): void => {
      if (this.#client === client) this.#client = undefined
    }
    try {
      client = await this.#finder.connect(
        { application_name: 'nomaly worker', connectionTimeoutMillis: 5_000, query_timeout: 5_000 },
        AbortSignal.timeout(CONNECT_TIMEOUT_MS),
      )
      client.on('error', lost)
      client.on('end', lost)
      // Not waited for: where a connection that is lost still holds it, that shows the same.
      await client.query('select pg_try_advisory_lock($1)', [presenceKey(this.#workerId)])
      this.#client = client
    } catch (error) {
      this.#log(`The worker could not show its presence: ${(error as Error).message}`)
      await client?.end().catch(() => {})
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const client = this.#client
    this.#client = undefined
    await client?.end().catch(() => {})
  }
}
