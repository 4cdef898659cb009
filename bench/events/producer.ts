import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

const TICK_MS = 20

/** The statement of `Outbox.add`, for several at once. */
const ADD = `with added as (
    insert into nomaly.outbox (tenant_id, topic, payload)
    select $1, 'dataset', jsonb_build_object('n', n, 'id', $2::text, 'change', 'updated', 'sentMs', $3::bigint)
    from generate_series($4::int, $5::int) n)
  select pg_notify('nomaly', 'outbox ' || $1::text || ' ')`

/** Commits events at a steady rate, as transactions of the product do, numbered from 1. */
export class Producer implements AsyncDisposable {
  readonly #client: pg.Client
  readonly #tenantId: string
  #last = 0

  private constructor(client: pg.Client, tenantId: string) {
    this.#client = client
    this.#tenantId = tenantId
  }

  static async connect(adminUrl: string, tenantId: string): Promise<Producer> {
    const client = new pg.Client({ connectionString: adminUrl, application_name: 'producer' })
    await client.connect()
    return new Producer(client, tenantId)
  }

  /** The number of the last one that was committed. */
  get last(): number {
    return this.#last
  }

  /** Goes on for so long. What it could not keep up with, it makes up for. */
  async run(perSecond: number, seconds: number, signal: AbortSignal): Promise<void> {
    const startedMs = performance.now()
    const first = this.#last
    for (;;) {
      signal.throwIfAborted()
      const passedSeconds = Math.min(seconds, (performance.now() - startedMs) / 1_000)
      const due = first + Math.floor(passedSeconds * perSecond)
      if (due > this.#last) {
        await this.#client.query(ADD, [this.#tenantId, randomUUID(), Date.now(), this.#last + 1, due])
        this.#last = due
      }
      if (passedSeconds === seconds) return
      await sleep(TICK_MS)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end()
  }
}
