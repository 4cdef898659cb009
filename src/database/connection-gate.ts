import { type Budget, BUDGETS } from './purpose.ts'

/** Why somebody was not let in: too many wait already, the wait would be too long, it was too long. */
export type Refusal = 'full' | 'hopeless' | 'late'

export interface GateOptions {
  /** Connections that may be in use at once. */
  readonly max: number
  /** Callers that may wait, of each budget. */
  readonly maxWaiting: number
  readonly timeoutMs: number
  /** A monotonic clock in milliseconds. */
  readonly now: () => number
  /** The error for one who is refused. */
  readonly refuse: (reason: Refusal, retryAfterSeconds: number) => Error
}

/** How a budget is used, and what was decided since the process began. */
export interface BudgetUse {
  readonly inUse: number
  readonly waiting: number
  readonly refused: Readonly<Record<Refusal, number>>
}

interface Waiter {
  readonly order: number
  readonly admit: () => void
}

/** A stretch of time in which callers of a budget had to wait. */
interface Crowd {
  sinceMs: number
  admitted: number
}

/** The share of all connections that each budget can always have, whatever the others want. */
const SHARES: Readonly<Record<Budget, number>> = { web: 0.2, work: 0.2, maintenance: 0.05 }
/** Fewer connections than this cannot be shared out. */
const MIN_SHARED = 4
/** The older half of what is known of a crowd is forgotten after this time. */
const CROWD_MEMORY_MS = 10_000
const MAX_RETRY_AFTER_SECONDS = 30

/**
 * Decides who gets one of a number of connections, and in which order. Each budget has a share that the others leave free; what is beyond the
 * shares goes to whoever came first. The queue is bounded, and whoever could not be served in time, by the pace of the last seconds, is
 * refused at once.
 */
export class ConnectionGate {
  readonly #options: GateOptions
  readonly #shares: Readonly<Record<Budget, number>>
  readonly #use = ofEach(() => ({ inUse: 0, refused: { full: 0, hopeless: 0, late: 0 } }))
  /** In order of arrival. */
  readonly #queues = ofEach(() => new Set<Waiter>())
  readonly #crowds = ofEach((): Crowd => ({ sinceMs: 0, admitted: 0 }))
  #order = 0
  /** Hears how long each who was let in has waited, in milliseconds. */
  onWait: ((budget: Budget, waitedMs: number) => void) | undefined

  constructor(options: GateOptions) {
    this.#options = options
    const { max } = options
    const share = (budget: Budget): number =>
      max < MIN_SHARED ? 0 : Math.max(1, Math.floor(max * SHARES[budget]))
    this.#shares = { web: share('web'), work: share('work'), maintenance: share('maintenance') }
  }

  get use(): Readonly<Record<Budget, BudgetUse>> {
    const copy = (budget: Budget): BudgetUse => {
      const { inUse, refused } = this.#use[budget]
      return { inUse, waiting: this.#queues[budget].size, refused: { ...refused } }
    }
    return { web: copy('web'), work: copy('work'), maintenance: copy('maintenance') }
  }

  /** The most that a budget may have at once. */
  roomFor(budget: Budget): number {
    return this.#options.max - sum(BUDGETS, (other) => (other === budget ? 0 : this.#shares[other]))
  }

  /**
   * Waits for a turn; what is answered ends it, and may be called more than once.
   * @throws what `refuse` makes; the reason of the signal.
   */
  async enter(budget: Budget, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted()
    const arrivedMs = this.#options.now()
    if (this.#queues[budget].size > 0 || !this.#hasRoomFor(budget))
      await this.#wait(budget, arrivedMs, signal)
    else this.#use[budget].inUse += 1
    this.onWait?.(budget, this.#options.now() - arrivedMs)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      this.#use[budget].inUse -= 1
      this.#admitWaiting()
    }
  }

  /** Whether one more of a budget leaves the others what is theirs. */
  #hasRoomFor(budget: Budget): boolean {
    const kept = sum(BUDGETS, (one) =>
      one === budget ? this.#use[one].inUse + 1 : Math.max(this.#shares[one], this.#use[one].inUse),
    )
    return kept <= this.#options.max
  }

  /** Resolves once it is counted as in use. */
  async #wait(budget: Budget, arrivedMs: number, signal: AbortSignal | undefined): Promise<void> {
    const queue = this.#queues[budget]
    if (queue.size === 0) this.#crowds[budget] = { sinceMs: arrivedMs, admitted: 0 }
    const expectedMs = this.#expectedMs(budget, arrivedMs)
    if (queue.size >= this.#options.maxWaiting) throw this.#refuse(budget, 'full', expectedMs)
    if (expectedMs > this.#options.timeoutMs) throw this.#refuse(budget, 'hopeless', expectedMs)
    const turn = Promise.withResolvers<void>()
    const waiter: Waiter = { order: this.#order++, admit: turn.resolve }
    queue.add(waiter)
    const leave = (error: unknown): void => {
      if (queue.delete(waiter)) turn.reject(error)
    }
    const abort = (): void => leave(signal?.reason)
    const timer = setTimeout(() => {
      if (queue.has(waiter))
        leave(this.#refuse(budget, 'late', this.#expectedMs(budget, this.#options.now())))
    }, this.#options.timeoutMs)
    signal?.addEventListener('abort', abort, { once: true })
    try {
      await turn.promise
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    }
  }

  /** How long one who comes now would wait, by how fast the queue has moved; as if all who are in were about to leave. */
  #expectedMs(budget: Budget, nowMs: number): number {
    const crowd = this.#crowds[budget]
    const elapsedMs = nowMs - crowd.sinceMs
    return ((this.#queues[budget].size + 1) * elapsedMs) / (crowd.admitted + this.roomFor(budget))
  }

  #refuse(budget: Budget, reason: Refusal, expectedMs: number): Error {
    this.#use[budget].refused[reason] += 1
    const seconds = Math.min(MAX_RETRY_AFTER_SECONDS, Math.max(1, Math.ceil(expectedMs / 1000)))
    return this.#options.refuse(reason, seconds)
  }

  /** Lets in who may, the one who came first before the others, whatever the budget. */
  #admitWaiting(): void {
    for (;;) {
      let next: { readonly budget: Budget; readonly waiter: Waiter } | undefined
      for (const budget of BUDGETS) {
        const [waiter] = this.#queues[budget]
        if (waiter === undefined || !this.#hasRoomFor(budget)) continue
        if (next === undefined || waiter.order < next.waiter.order) next = { budget, waiter }
      }
      if (next === undefined) return
      const { budget, waiter } = next
      this.#queues[budget].delete(waiter)
      this.#use[budget].inUse += 1
      this.#countAdmitted(this.#crowds[budget])
      waiter.admit()
    }
  }

  #countAdmitted(crowd: Crowd): void {
    crowd.admitted += 1
    const elapsedMs = this.#options.now() - crowd.sinceMs
    if (elapsedMs < CROWD_MEMORY_MS) return
    crowd.sinceMs += elapsedMs / 2
    crowd.admitted /= 2
  }
}

function ofEach<T>(make: () => T): Record<Budget, T> {
  return { web: make(), work: make(), maintenance: make() }
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}
