import { setTimeout as sleep } from 'node:timers/promises'
import { describeRedis, parseRedisUrl, tlsOptions, type RedisAddress } from './address.ts'
import type { LinkOptions } from './client.ts'
import type { RedisCommands } from './commands.ts'
import { guard } from './guard.ts'
import { LinkKeeper } from './link-keeper.ts'
import { Subscriptions } from './subscriptions.ts'
import { Tracking, type RedisTracking } from './tracking.ts'

export type { RedisCommands } from './commands.ts'
export type { RedisTracking } from './tracking.ts'

/** One Redis: a single server, the master of Sentinels or a Cluster, which may be away at any time. */
export interface Redis extends AsyncDisposable {
  /**
   * Commands on the shared connection. Never waits longer than the timeout, and not at all while Redis is away. What was sent may have been
   * done although this rejects.
   * @throws RedisUnavailable; `ErrorReply` of the driver for what the server says about the command itself, such as NOSCRIPT; the signal's reason.
   */
  command<T>(work: (client: RedisCommands) => Promise<T>, signal?: AbortSignal): Promise<T>
  /** Up: commands are tried. Down: the breaker is open or nobody has connected yet. */
  readonly isUp: boolean
  /** Hears of every change of {@link isUp}. Answers how to stop. */
  onChange(listener: (isUp: boolean) => void): () => void
  /**
   * The run id of the server that answers now; '' while unknown. Another one may have lost what this one had. Of all masters of a Cluster, in
   * the order of their ids. Commands that `work` sends in the same turn in which it reads this go to that server, or are refused.
   */
  readonly runId: string
  /**
   * Hears a channel, on a connection of its own that comes back by itself; `onReconnect` is called after every gap, in which messages were lost.
   * Answers how to stop, after a second at the latest: where Redis is away then, `onReconnect` tells when it begins.
   */
  subscribe(
    channel: string,
    listener: (message: string) => void,
    onReconnect: () => void,
  ): Promise<() => Promise<void>>
  /** Opens a further connection, on which what was read is kept in this process until the server says that it changed (RESP3 tracking). */
  track(options: { maxEntries: number }): RedisTracking
}

export interface RedisOptions {
  readonly url: string
  /** Longest wait for an answer. */
  readonly timeoutMs: number
  readonly log: (message: string) => void
  /** What `CLIENT LIST` shows. */
  readonly clientName: string
}

const FIRST_WAIT_MS = 1_000
const QUEUE_LENGTH = 10_000

/**
 * Opens a Redis. Answers also when it is away, after a second at most, and goes on connecting.
 * @throws NomalyError `invalid_input` that names what is wrong with the address.
 */
export async function openRedis(options: RedisOptions): Promise<Redis> {
  const address = parseRedisUrl(options.url)
  // A file that is not there now is an error of who set it; one that goes missing later is not.
  tlsOptions(address.tls)
  const redis = new Connection(options, address)
  await Promise.race([redis.firstAttempt, sleep(FIRST_WAIT_MS, undefined, { ref: false })])
  return redis
}

class Connection implements Redis {
  readonly #log: (message: string) => void
  readonly #name: string
  readonly #link: Omit<LinkOptions, 'signal'>
  readonly #timeoutMs: number
  readonly #keeper: LinkKeeper
  readonly #subscriptions: Subscriptions
  readonly #trackings = new Set<Tracking>()
  readonly #listeners = new Set<(isUp: boolean) => void>()
  /** What was told last. */
  #wasUp: boolean | undefined
  #isClosed = false

  constructor({ timeoutMs, log, clientName }: RedisOptions, address: RedisAddress) {
    this.#log = log
    this.#name = describeRedis(address)
    this.#timeoutMs = timeoutMs
    this.#link = {
      address,
      clientName,
      connectTimeoutMs: Math.max(1_000, 4 * timeoutMs),
      queueLength: QUEUE_LENGTH,
    }
    this.#subscriptions = new Subscriptions({ ...this.#link, clientName: `${clientName}-subscriber` }, log)
    this.#keeper = new LinkKeeper({
      link: this.#link,
      timeoutMs,
      onChange: (reason) => this.#tell(reason),
    })
  }

  get firstAttempt(): Promise<void> {
    return this.#keeper.firstAttempt
  }

  get isUp(): boolean {
    return this.#keeper.isUp
  }

  get runId(): string {
    return this.#keeper.runId
  }

  onChange(listener: (isUp: boolean) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  command<T>(work: (client: RedisCommands) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#keeper.run(work, signal)
  }

  subscribe(
    channel: string,
    listener: (message: string) => void,
    onReconnect: () => void,
  ): Promise<() => Promise<void>> {
    return this.#subscriptions.add(channel, listener, onReconnect)
  }

  track({ maxEntries }: { maxEntries: number }): RedisTracking {
    const link = { ...this.#link, clientName: `${this.#link.clientName}-tracking` }
    const tracking = new Tracking({
      link,
      timeoutMs: this.#timeoutMs,
      maxEntries,
      main: this,
      log: this.#log,
    })
    this.#trackings.add(tracking)
    return tracking
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    await Promise.all(
      [this.#keeper, this.#subscriptions, ...this.#trackings].map((part) => part[Symbol.asyncDispose]()),
    )
  }

  #tell(reason: string): void {
    const { isUp } = this
    if (this.#wasUp === isUp || this.#isClosed) return
    if (!isUp) this.#log(`Redis at ${this.#name} is away: ${reason}. The product goes on without it.`)
    // The first connection is nothing to speak of.
    else if (this.#wasUp !== undefined) this.#log(`Redis at ${this.#name} answers again.`)
    this.#wasUp = isUp
    for (const listener of this.#listeners) guard(this.#log, () => listener(isUp))
  }
}
