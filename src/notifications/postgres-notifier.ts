import pg from 'pg'
import {
  NOTIFICATION_CHANNEL,
  type Notification,
  type NotificationListener,
  type Notifier,
} from './notifier.ts'

const HEARTBEAT_MS = 30_000
const CHANNELS = new Set(['points', 'outbox', 'events', 'keys', 'flags'])

/** LISTEN and NOTIFY on a direct connection of its own: it would be lost through a transaction pool (PostgreSQL manual, NOTIFY). */
export class PostgresNotifier implements Notifier {
  readonly #url: string
  readonly #log: (message: string) => void
  readonly #listeners = new Set<NotificationListener>()
  readonly #reconnectListeners = new Set<() => void>()
  readonly #closing = new AbortController()
  /** Sent and not answered yet. */
  readonly #sending = new Set<string>()
  #heartbeat: NodeJS.Timeout | undefined
  #client: pg.Client | undefined
  #reconnecting: Promise<void> | undefined

  private constructor(url: string, log: (message: string) => void) {
    this.#url = url
    this.#log = log
  }

  /** Connects and listens. */
  static async connect(url: string, log: (message: string) => void): Promise<PostgresNotifier> {
    const notifier = new PostgresNotifier(url, log)
    await notifier.#connect()
    notifier.#heartbeat = setInterval(() => notifier.#beat(), HEARTBEAT_MS).unref()
    return notifier
  }

  publish(notification: Notification): void {
    const payload = `${notification.channel} ${notification.tenantId} ${notification.id}`
    // The same notice twice before it is sent is one notice. While the connection is away nobody is told: receivers look for
    // themselves when they are back.
    if (this.#client === undefined || this.#sending.has(payload)) return
    this.#sending.add(payload)
    this.#client
      .query('select pg_notify($1, $2)', [NOTIFICATION_CHANNEL, payload])
      .catch((error: Error) => this.#log(`A notification was not sent: ${error.message}`))
      .finally(() => this.#sending.delete(payload))
  }

  subscribe(listener: NotificationListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  onReconnect(listener: () => void): () => void {
    this.#reconnectListeners.add(listener)
    return () => this.#reconnectListeners.delete(listener)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    clearInterval(this.#heartbeat)
    await this.#reconnecting?.catch(() => {})
    await this.#client?.end().catch(() => {})
  }

  async #connect(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.#url,
      application_name: 'nomaly notifier',
      connectionTimeoutMillis: 5_000,
      query_timeout: 5_000,
      keepAlive: true,
    })
    client.on('notification', ({ payload }) => this.#deliver(payload ?? ''))
    client.on('error', () => this.#lost(client))
    client.on('end', () => this.#lost(client))
    await client.connect()
    await client.query(`listen ${NOTIFICATION_CHANNEL}`)
    this.#client = client
  }

  /** A connection whose other end has gone silently is noticed by asking it. */
  #beat(): void {
    const client = this.#client
    client?.query('select 1').catch(() => {
      this.#lost(client)
      void client.end().catch(() => {})
    })
  }

  #lost(client: pg.Client): void {
    if (this.#client !== client || this.#closing.signal.aborted) return
    this.#client = undefined
    this.#reconnecting = this.#reconnect()
  }

  async #reconnect(): Promise<void> {
    this.#log('The connection for notifications was lost; connecting again.')
    for (let attempt = 0; !this.#closing.signal.aborted; attempt++) {
      try {
        await this.#connect()
        for (const listener of this.#reconnectListeners) listener()
        return
      } catch {
        const waitMs = Math.min(10_000, 200 * 2 ** Math.min(attempt, 6)) * (0.5 + Math.random())
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, waitMs)
          this.#closing.signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), {
            once: true,
          })
        })
      }
    }
  }

  #deliver(payload: string): void {
    const [channel, tenantId, id] = payload.split(' ')
    if (channel === undefined || !CHANNELS.has(channel) || tenantId === undefined) return
    const notification = { channel: channel as Notification['channel'], tenantId, id: id ?? '' }
    for (const listener of this.#listeners) listener(notification)
  }
}
