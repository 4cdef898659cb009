import { BasicPooledClientSideCache } from 'redis'
import type { LinkOptions } from './client.ts'
import type { RedisCommands } from './commands.ts'
import { guard } from './guard.ts'
import { LinkKeeper } from './link-keeper.ts'
import { RedisUnavailable } from './unavailable.ts'

/** A connection on which what was read is kept in this process until the server says that it changed. */
export interface RedisTracking extends AsyncDisposable {
  /**
   * As {@link Redis.command}, for commands that read: an answer that this process still has costs no round trip. The server's notice of a
   * change is late by nature; where its connection is lost unnoticed, by up to two seconds and two timeouts.
   * @throws RedisUnavailable also while this connection and the shared one are with different servers.
   */
  read<T>(work: (client: RedisCommands) => Promise<T>, signal?: AbortSignal): Promise<T>
  /** Hears which key that was read here changed, was evicted or expired; `null`: perhaps all of them. Answers how to stop. */
  onInvalidate(listener: (key: string | null) => void): () => void
}

export interface TrackingOptions {
  readonly link: Omit<LinkOptions, 'signal' | 'clientSideCache'>
  readonly timeoutMs: number
  readonly maxEntries: number
  readonly log: (message: string) => void
  /** The shared connection: what that one cannot reach is not answered from here either. */
  readonly main: { readonly isUp: boolean; readonly runId: string }
}

export class Tracking implements RedisTracking {
  readonly #main: TrackingOptions['main']
  readonly #cache: BasicPooledClientSideCache
  readonly #keeper: LinkKeeper
  readonly #log: (message: string) => void
  #wasUp = false
  readonly #listeners = new Set<(key: string | null) => void>()

  constructor({ link, timeoutMs, maxEntries, main, log }: TrackingOptions) {
    this.#main = main
    this.#log = log
    this.#cache = new BasicPooledClientSideCache({ maxEntries, recordStats: false })
    this.#cache.on('invalidate', (key: string | Buffer | null) => this.#tell(key))
    const options = { ...link, clientSideCache: this.#cache }
    this.#keeper = new LinkKeeper({ link: options, timeoutMs, onChange: () => this.#forget() })
  }

  async read<T>(work: (client: RedisCommands) => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (!this.#main.isUp || this.#main.runId !== this.#keeper.runId)
      throw new RedisUnavailable('down', 'Redis is away.')
    return this.#keeper.run(work, signal)
  }

  onInvalidate(listener: (key: string | null) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#keeper[Symbol.asyncDispose]()
    this.#cache.clear()
  }

  /** While the connection was away, so were the notices. */
  #forget(): void {
    const { isUp } = this.#keeper
    if (this.#wasUp === isUp) return
    this.#wasUp = isUp
    if (isUp) return
    this.#cache.clear()
    this.#tell(null)
  }

  #tell(key: string | Buffer | null): void {
    const name = key === null ? null : key.toString()
    for (const listener of this.#listeners) guard(this.#log, () => listener(name))
  }
}
