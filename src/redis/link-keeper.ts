import { setTimeout as sleep } from 'node:timers/promises'
import { backoffMs } from './backoff.ts'
import { Gate } from './gate.ts'
import type { LinkOptions } from './client.ts'
import type { RedisCommands } from './commands.ts'
import { openLink, type Link } from './link.ts'
import { RedisUnavailable } from './unavailable.ts'
import { within } from './within.ts'

const BEAT_MS = 1_000
/** Probes that may fail before the connection is given up for a new one. */
const PROBES = 4

export interface LinkKeeperOptions {
  readonly link: Omit<LinkOptions, 'signal'>
  readonly timeoutMs: number
  /** Called when it may be up or down otherwise than before, with the reason where it is down. */
  readonly onChange: (reason: string) => void
}

/** Keeps a connection: makes a new one when it is over, and knows whether commands are worth trying. */
export class LinkKeeper implements AsyncDisposable {
  /** Resolves when the first attempt to connect succeeded or failed. */
  readonly firstAttempt: Promise<void>
  readonly #linkOptions: LinkOptions
  readonly #timeoutMs: number
  readonly #onChange: (reason: string) => void
  readonly #gate: Gate
  readonly #closing = new AbortController()
  readonly #running: Promise<void>
  #link: Link | undefined
  #tried!: () => void

  constructor({ link, timeoutMs, onChange }: LinkKeeperOptions) {
    this.#linkOptions = { ...link, signal: this.#closing.signal }
    this.#timeoutMs = timeoutMs
    this.#onChange = onChange
    this.#gate = new Gate({ timeoutMs, onOpen: onChange })
    this.firstAttempt = new Promise((resolve) => (this.#tried = resolve))
    this.#running = this.#keepConnected()
  }

  get isUp(): boolean {
    return this.#link !== undefined && !this.#gate.breaker.isOpen
  }

  /** Of the server that is connected; '' while unknown. */
  get runId(): string {
    return this.#link?.runId ?? ''
  }

  /** See {@link Redis.command}. */
  async run<T>(work: (client: RedisCommands) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted()
    const link = this.#link
    if (link === undefined || this.#gate.breaker.isOpen) throw new RedisUnavailable('down', 'Redis is away.')
    const { runId } = link
    if (runId === '') throw masterChanged()
    const result = await this.#gate.run(() => work(link.commands), signal)
    // A Cluster passes a command on to a master that has just come: what that one answers is not what was asked.
    if (link.runId !== runId) throw masterChanged()
    return result
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new RedisUnavailable('down', 'The connection to Redis was closed.'))
    this.#link?.close()
    await this.#running
  }

  async #keepConnected(): Promise<void> {
    const { signal } = this.#closing
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        const link = await openLink(this.#linkOptions)
        attempt = 0
        const reason = await this.#use(link)
        this.#gate.open(reason)
      } catch (error) {
        this.#gate.open((error as Error).message)
      } finally {
        this.#tried()
      }
      await sleep(backoffMs(attempt), undefined, { signal }).catch(() => {})
    }
  }

  /** Serves over one connection until that is over; answers why. */
  async #use(link: Link): Promise<string> {
    if (!this.#closing.signal.aborted) {
      this.#link = link
      this.#gate.breaker.close()
      this.#onChange('')
      this.#tried()
      const over = new AbortController()
      const beating = this.#beat(link, over.signal)
      const cause = await link.ended
      over.abort()
      await beating
      this.#link = undefined
      link.close()
      return cause.message
    }
    link.close()
    return 'closed'
  }

  /** Looks at Redis from time to time: while it serves, so that its absence is known before somebody asks; and while it does not. */
  async #beat(link: Link, signal: AbortSignal): Promise<void> {
    const { breaker } = this.#gate
    let missed = 0
    for (;;) {
      const waitMs = breaker.isOpen ? breaker.nextProbeMs() : BEAT_MS
      await sleep(waitMs * (0.8 + Math.random() * 0.4), undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      try {
        await within(link.probe(), this.#timeoutMs, signal)
        missed = 0
        breaker.close()
        this.#onChange('')
      } catch (error) {
        if (signal.aborted) return
        missed++
        // One late answer may be this process' own doing.
        if (missed >= 2) this.#gate.open((error as Error).message)
        if (missed >= PROBES) link.close()
      }
    }
  }
}

function masterChanged(): RedisUnavailable {
  return new RedisUnavailable('changed', 'A master of the Redis Cluster has just changed.')
}
