import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Db } from 'pg-boss'
import { HostedClient } from '../database/hosted-client.ts'
import { PrimaryFinder } from '../database/primary-finder.ts'

/** Its tables are the system's; everything it does runs under that role. */
const SETTINGS = { options: '-c role=nomaly_system', application_name: 'nomaly queue', keepAlive: true }
const CONNECTIONS = 2
const CONNECT_TIMEOUT_MS = 10_000
const STATEMENT_TIMEOUT_MS = 60_000
const HEARTBEAT = { everyMs: 10_000, timeoutMs: 5_000 }
const RECONNECT_MS = { first: 500, most: 10_000 }

/** The connections of the queue's library: to the server that takes writes, and to the next one when that changes. */
export class QueueConnections implements Db {
  readonly #finder: PrimaryFinder
  readonly #pool: pg.Pool
  readonly #log: (message: string) => void
  readonly #closing = new AbortController()

  constructor(url: string, log: (message: string) => void) {
    this.#log = log
    this.#finder = new PrimaryFinder(url)
    this.#pool = new pg.Pool({
      ...SETTINGS,
      Client: HostedClient.of(this.#finder) as never,
      max: CONNECTIONS,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      // A server that has gone without a word would be waited for else, by everything that comes after.
      query_timeout: STATEMENT_TIMEOUT_MS,
      onConnect: (client) => (client as HostedClient).requirePrimary() as never,
    })
    this.#pool.on('error', (error) => log(`An idle connection of the queue broke: ${error.message}`))
  }

  // eslint-disable-next-line typescript/no-explicit-any -- What the library's interface says.
  async executeSql(text: string, values?: unknown[]): Promise<{ rows: any[] }> {
    const host = await this.#finder.find(this.#deadline())
    try {
      return await this.#pool.query(text, values)
    } catch (error) {
      // Whatever it was: looking again is cheap, and the library asks again.
      if (!(error instanceof pg.DatabaseError)) this.#finder.forget(host)
      throw error
    }
  }

  /** Keeps a connection that listens, until it is closed; each time it was lost, `onReconnect` hears that something may have been missed. */
  async listen(
    channel: string,
    onNotification: (payload: string) => void,
    onReconnect: () => void,
  ): Promise<{ close(): Promise<void> }> {
    const closing = new AbortController()
    const signal = AbortSignal.any([closing.signal, this.#closing.signal])
    let client: pg.Client | undefined = await this.#listenOnce(channel, onNotification)
    const keep = async (): Promise<void> => {
      for (let pauseMs = RECONNECT_MS.first; !signal.aborted;) {
        if (client !== undefined) {
          await untilBroken(client, signal)
          await client.end().catch(() => {})
          client = undefined
          pauseMs = RECONNECT_MS.first
          if (!signal.aborted) this.#log('The connection that listens for tasks was lost; connecting again.')
        }
        await sleep(pauseMs * (0.5 + Math.random()), undefined, { signal }).catch(() => {})
        if (signal.aborted) return
        pauseMs = Math.min(RECONNECT_MS.most, pauseMs * 2)
        client = await this.#listenOnce(channel, onNotification).catch(() => undefined)
        if (client !== undefined) onReconnect()
      }
    }
    const kept = keep()
    onReconnect()
    return {
      close: async () => {
        closing.abort()
        await kept
        await client?.end().catch(() => {})
      },
    }
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#pool.end()
  }

  async #listenOnce(channel: string, onNotification: (payload: string) => void): Promise<pg.Client> {
    const client = await this.#finder.connect(
      { ...SETTINGS, connectionTimeoutMillis: CONNECT_TIMEOUT_MS, query_timeout: HEARTBEAT.timeoutMs },
      this.#deadline(),
    )
    client.on('notification', ({ payload }) => {
      if (payload !== undefined) onNotification(payload)
    })
    try {
      await client.query(`listen ${client.escapeIdentifier(channel)}`)
    } catch (error) {
      await client.end().catch(() => {})
      throw error
    }
    return client
  }

  #deadline(): AbortSignal {
    return AbortSignal.any([this.#closing.signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)])
  }
}

/** Resolves when a connection has ended, or does not answer any more, or the signal aborts. */
async function untilBroken(client: pg.Client, signal: AbortSignal): Promise<void> {
  const broken = new AbortController()
  client.once('end', () => broken.abort())
  const over = AbortSignal.any([signal, broken.signal])
  while (!over.aborted) {
    await sleep(HEARTBEAT.everyMs, undefined, { signal: over }).catch(() => {})
    if (over.aborted) return
    // `query_timeout` makes this fail where nobody answers.
    await client.query('select 1').catch(() => broken.abort())
  }
}
