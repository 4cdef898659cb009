import type pg from 'pg'
import { PrimaryFinder } from '../database/primary-finder.ts'
import { NoticeSender } from './notice-sender.ts'
import {
  formatNotification,
  NOTIFICATION_CHANNEL,
  type Notification,
  type NotificationListener,
  type Notifier,
  parseNotification,
} from './notifier.ts'

const HEARTBEAT_MS = 30_000
const CONNECT_TIMEOUT_MS = 10_000
/** Different notices kept for when the connection is back; who was not told of more looks for itself from time to time. */
const MAX_UNSENT = 10_000

/** LISTEN and NOTIFY on a direct connection of its own: it would be lost through a transaction pool (PostgreSQL manual, NOTIFY). */
export class PostgresNotifier implements Notifier {
  readonly #finder: PrimaryFinder
  readonly #log: (message: string) => void
  readonly #listeners = new Set<NotificationListener>()
  readonly #reconnectListeners = new Set<() => void>()
  readonly #closing = new AbortController()
  readonly #sender = new NoticeSender((notices) => this.#send(notices))
  readonly #unsent = new Set<string>()
  #heartbeat: NodeJS.Timeout | undefined
  #client: pg.Client | undefined
  #reconnecting: Promise<void> | undefined

  private constructor(url: string, log: (message: string) => void) {
    this.#finder = new PrimaryFinder(url)
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
    this.#sender.send(formatNotification(notification))
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

  /** What cannot be sent now is when the connection is back: others may have theirs all the time. */
  async #send(notices: readonly string[]): Promise<void> {
    try {
      if (this.#client === undefined) throw new Error('The connection is away.')
      await this.#client.query('select pg_notify($1, notice) from unnest($2::text[]) notice', [
        NOTIFICATION_CHANNEL,
        notices,
      ])
    } catch {
      for (const notice of notices) if (this.#unsent.size < MAX_UNSENT) this.#unsent.add(notice)
    }
  }

  async #connect(): Promise<void> {
    const client = await this.#finder.connect(
      { application_name: 'nomaly notifier', connectionTimeoutMillis: 5_000, query_timeout: 5_000 },
      AbortSignal.any([this.#closing.signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)]),
    )
    client.on('notification', ({ payload }) => this.#deliver(payload ?? ''))
    client.on('error', () => this.#lost(client))
    client.on('end', () => this.#lost(client))
    try {
      await client.query(`listen ${NOTIFICATION_CHANNEL}`)
    } catch (error) {
      await client.end().catch(() => {})
      throw error
    }
    this.#client = client
    const unsent = [...this.#unsent]
    this.#unsent.clear()
    for (const notice of unsent) this.#sender.send(notice)
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
    const notification = parseNotification(payload)
    if (notification === undefined) return
    for (const listener of this.#listeners) listener(notification)
  }
}
