import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

export interface TransactionHoldOptions {
  /** Looks anew for the server that takes writes, and answers its timeline; `undefined` or an error where there is none now. */
  readonly findTimeline: () => Promise<number | undefined>
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number
}

/** Longest time that work is held up, whatever becomes of the switchover that asked for it. */
export const LONGEST_HOLD_MS = 15_000
const LOOK_MS = 100
/** A balancer may still lead one connection to the old leader and the next to the new one. */
const LOOKS_IN_A_ROW = 3

/**
 * Holds up transactions and reads of a process while its database changes leaders in order, so that none of them fails: those that have begun go on to
 * their end, those that have not wait until the new leader takes writes.
 */
export class TransactionHold implements AsyncDisposable {
  readonly #options: TransactionHoldOptions
  readonly #now: () => number
  /** Set in whatever has a connection already: were it to wait for another one, the first would never be given back. */
  readonly #inside = new AsyncLocalStorage<true>()
  readonly #closing = new AbortController()
  #held: { readonly opened: PromiseWithResolvers<void>; readonly stop: AbortController } | undefined
  #watching: Promise<void> | undefined

  constructor(options: TransactionHoldOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
  }

  get isHeld(): boolean {
    return this.#held !== undefined
  }

  /** Holds up what begins from now on, until the server of another timeline takes writes, {@link release} is called, or {@link LONGEST_HOLD_MS} have passed. */
  hold(): void {
    if (this.#held !== undefined || this.#closing.signal.aborted) return
    const held = { opened: Promise.withResolvers<void>(), stop: new AbortController() }
    this.#held = held
    this.#watching = this.#watch(AbortSignal.any([held.stop.signal, this.#closing.signal])).finally(() => {
      if (this.#held === held) this.release()
    })
  }

  /** Lets everybody go on. */
  release(): void {
    const held = this.#held
    if (held === undefined) return
    this.#held = undefined
    held.stop.abort()
    held.opened.resolve()
  }

  /** Waits while work is held up. @throws the reason of the signal where the caller gives up first. */
  async pass(signal?: AbortSignal): Promise<void> {
    while (this.#held !== undefined && this.#inside.getStore() !== true) {
      const { promise } = this.#held.opened
      if (signal === undefined) await promise
      else {
        const given = Promise.withResolvers<never>()
        const giveUp = (): void => given.reject(signal.reason)
        signal.addEventListener('abort', giveUp, { once: true })
        try {
          await Promise.race([promise, given.promise])
        } finally {
          signal.removeEventListener('abort', giveUp)
        }
      }
    }
  }

  /** Runs what has a connection: it is not held up. */
  within<T>(work: () => Promise<T>): Promise<T> {
    return this.#inside.run(true, work)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    this.release()
    await this.#watching
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const untilMs = this.#now() + LONGEST_HOLD_MS
    let before: number | undefined
    let inARow = 0
    while (!signal.aborted && this.#now() < untilMs) {
      const timeline = await this.#options.findTimeline().catch(() => undefined)
      before ??= timeline
      const isNew = timeline !== undefined && before !== undefined && timeline > before
      inARow = isNew ? inARow + 1 : 0
      if (inARow === LOOKS_IN_A_ROW) return
      await sleep(isNew ? 0 : LOOK_MS, undefined, { signal }).catch(() => {})
    }
  }
}
