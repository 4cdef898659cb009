import { randomUUID } from 'node:crypto'
import type { Redis } from '../redis/connection.ts'
import { NoticeSender } from './notice-sender.ts'
import {
  formatNotification,
  type Notification,
  type NotificationListener,
  type Notifier,
  parseNotification,
} from './notifier.ts'

const BEAT_MS = 1_000
/** Without a beat of its own for as long, a process takes itself for deaf on Redis. */
const SILENCE_MS = 2_000
/** How often a deaf process has everybody look for themselves. */
const GAP_EVERY_MS = 3_000

export interface RedisNotifierOptions {
  readonly redis: Redis
  /** What the channels of this installation begin with. */
  readonly prefix: string
  /** Hears what transactions send from inside SQL, and sends what Redis does not take. Belongs to this one from now on. */
  readonly beside: Notifier
}

/**
 * Redis pub/sub, beside LISTEN: notices of a commit come through PostgreSQL by the commit itself, and everything else goes through Redis, so that no
 * NOTIFY is to be committed for it. What Redis does not take goes through PostgreSQL. Pub/sub says nothing of messages that were lost, so a process
 * sends itself a beat every second: one that does not hear it looks for itself, so that a notice is late by five seconds at most while
 * only some processes reach Redis.
 */
export class RedisNotifier implements Notifier {
  readonly #redis: Redis
  readonly #channel: string
  readonly #beatChannel: string
  readonly #beside: Notifier
  readonly #listeners = new Set<NotificationListener>()
  readonly #gapListeners = new Set<() => void>()
  readonly #sender = new NoticeSender((notices) => this.#send(notices))
  readonly #stop: (() => Promise<void>)[] = []
  #beat: NodeJS.Timeout | undefined
  #heardMs = performance.now()
  #toldGapMs = Number.NEGATIVE_INFINITY

  private constructor({ redis, prefix, beside }: RedisNotifierOptions) {
    this.#redis = redis
    this.#channel = `${prefix}notices`
    this.#beatChannel = `${prefix}beat:${randomUUID()}`
    this.#beside = beside
  }

  /** Listens, as soon as Redis is there. */
  static async open(options: RedisNotifierOptions): Promise<RedisNotifier> {
    const notifier = new RedisNotifier(options)
    await notifier.#open()
    return notifier
  }

  publish(notification: Notification): void {
    this.#sender.send(formatNotification(notification))
  }

  subscribe(listener: NotificationListener): () => void {
    this.#listeners.add(listener)
    const stop = this.#beside.subscribe(listener)
    return () => {
      this.#listeners.delete(listener)
      stop()
    }
  }

  onReconnect(listener: () => void): () => void {
    this.#gapListeners.add(listener)
    const stop = this.#beside.onReconnect(listener)
    return () => {
      this.#gapListeners.delete(listener)
      stop()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#beat)
    await Promise.all(this.#stop.map((stop) => stop()))
    await this.#beside[Symbol.asyncDispose]()
  }

  async #open(): Promise<void> {
    const gap = (): void => this.#tellGap()
    const hear = (text: string): void => {
      const notification = parseNotification(text)
      if (notification !== undefined) for (const listener of this.#listeners) listener(notification)
    }
    this.#stop.push(
      ...(await Promise.all([
        this.#redis.subscribe(this.#channel, hear, gap),
        this.#redis.subscribe(
          this.#beatChannel,
          () => (this.#heardMs = performance.now()),
          () => {},
        ),
      ])),
    )
    this.#heardMs = performance.now()
    this.#beat = setInterval(() => this.#sendBeat(), BEAT_MS).unref()
  }

  async #send(notices: readonly string[]): Promise<void> {
    await Promise.all(notices.map((notice) => this.#sendOne(notice)))
  }

  /** What may have arrived although nothing was answered is sent the other way too: twice does no harm. */
  async #sendOne(notice: string): Promise<void> {
    try {
      await this.#redis.command((client) => client.publish(this.#channel, notice))
    } catch {
      const notification = parseNotification(notice)
      if (notification !== undefined) this.#beside.publish(notification)
    }
  }

  #sendBeat(): void {
    this.#redis.command((client) => client.publish(this.#beatChannel, '')).catch(() => {})
    const now = performance.now()
    const isDeaf = now - this.#heardMs > SILENCE_MS
    if (isDeaf && now - this.#toldGapMs >= GAP_EVERY_MS) this.#tellGap()
  }

  #tellGap(): void {
    this.#toldGapMs = performance.now()
    for (const listener of this.#gapListeners) listener()
  }
}
