import { Breaker } from './breaker.ts'
import { judgeError } from './judge-error.ts'
import { RedisUnavailable } from './unavailable.ts'

export interface GateOptions {
  readonly timeoutMs: number
  /** Called when the breaker opens, with the reason. */
  readonly onOpen: (reason: string) => void
}

/**
 * Through here all commands go: each waits for an answer no longer than the timeout, and when the breaker opens all that wait are let go at
 * once.
 */
export class Gate {
  readonly breaker: Breaker
  readonly #timeoutMs: number
  readonly #onOpen: (reason: string) => void
  readonly #waiting = new Set<(error: RedisUnavailable) => void>()

  constructor({ timeoutMs, onOpen }: GateOptions) {
    this.#timeoutMs = timeoutMs
    this.#onOpen = onOpen
    this.breaker = new Breaker(
      { failures: 3, windowMs: Math.max(2_000, 8 * timeoutMs), firstProbeMs: 250, lastProbeMs: 5_000 },
      () => performance.now(),
    )
  }

  /** @throws RedisUnavailable; what the server says about the command itself is passed on; the signal's reason. */
  run<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    signal?.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    let isOver = false
    let isSlow = false
    const end = (): boolean => {
      if (isOver) return false
      isOver = true
      clearTimeout(timer)
      this.#waiting.delete(letGo)
      signal?.removeEventListener('abort', abandon)
      return true
    }
    const letGo = (error: RedisUnavailable): void => void (end() && reject(error))
    const abandon = (): void => void (end() && reject(signal!.reason as Error))
    // What arrived while this process was busy with something else is read before an answer is called slow, or late.
    const half = (next: () => void): NodeJS.Timeout =>
      setTimeout(() => setImmediate(() => isOver || next()), this.#timeoutMs / 2)
    let timer = half(() => {
      isSlow = true
      timer = half(() => this.#late(letGo))
    })
    this.#waiting.add(letGo)
    signal?.addEventListener('abort', abandon, { once: true })
    start(work).then(
      (value) => {
        if (!end()) return
        if (isSlow) this.#fail('it answers slowly')
        resolve(value)
      },
      (error: unknown) => {
        if (end()) reject(this.#translate(error))
      },
    )
    return promise
  }

  /** Opens the breaker and lets go of everyone who waits. */
  open(reason: string, error = new RedisUnavailable('down', `Redis is away: ${reason}.`)): void {
    this.breaker.open()
    for (const letGo of this.#waiting) letGo(error)
    this.#onOpen(reason)
  }

  #late(letGo: (error: RedisUnavailable) => void): void {
    const error = new RedisUnavailable('slow', `Redis did not answer within ${this.#timeoutMs} ms.`)
    letGo(error)
    this.#fail(`no answer within ${this.#timeoutMs} ms`, error)
  }

  #fail(reason: string, error?: RedisUnavailable): void {
    if (this.breaker.fail()) this.open(reason, error)
  }

  #translate(error: unknown): unknown {
    const verdict = judgeError(error)
    if (verdict === 'command') return error
    const message = (error as Error).message
    if (verdict === 'changed') return new RedisUnavailable('changed', `Keys are moving: ${message}`, error)
    if (verdict === 'full') return new RedisUnavailable('full', `Redis takes no writes: ${message}`, error)
    this.#fail(message)
    return new RedisUnavailable('down', `Redis is away: ${message}`, error)
  }
}

async function start<T>(work: () => Promise<T>): Promise<T> {
  return work()
}
