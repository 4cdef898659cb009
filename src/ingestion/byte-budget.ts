import { NomalyError } from '../errors.ts'
import { type Delay, systemDelay } from './delay.ts'

export interface ByteBudgetOptions {
  readonly maxBytes: number
  /** Who still has to wait so long after he first had to is refused. */
  readonly maxWaitMs: number
  /** The system's timer unless told. */
  readonly delay?: Delay
}

/** What one input holds of a budget. */
export interface ByteLease extends Disposable {
  /**
   * Holds so many bytes in all; never fewer than before. Answers nothing where they are free, otherwise what to wait for.
   * @throws NomalyError `overloaded`, later, where they were not free in time.
   */
  hold(bytes: number): Promise<void> | undefined
  /** Gives everything back; may be called twice. */
  [Symbol.dispose](): void
}

interface Wish {
  readonly lease: Lease
  readonly bytes: number
  readonly granted: PromiseWithResolvers<void>
}

/**
 * Bytes that inputs which are read at the same time share. Who wants more than there is left waits, and reads no further meanwhile, in the
 * order of asking. As inputs that all wait for one another would wait forever, the first that has to wait may exceed the budget until it
 * ends: at most one at a time. So never more is held than the budget and one input.
 */
export class ByteBudget {
  readonly #options: ByteBudgetOptions
  readonly #wishes = new Set<Wish>()
  #heldBytes = 0
  #exempt: Lease | undefined

  constructor(options: ByteBudgetOptions) {
    this.#options = options
  }

  /** What is held now. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  lease(): ByteLease {
    return new Lease({
      take: (lease, bytes) => this.#take(lease, bytes),
      giveBack: (lease) => this.#giveBack(lease),
    })
  }

  #take(lease: Lease, bytes: number): Promise<void> | undefined {
    const isFree = this.#wishes.size === 0 && this.#heldBytes + bytes - lease.bytes <= this.#options.maxBytes
    if (isFree || lease === this.#exempt) {
      this.#grant(lease, bytes)
      return undefined
    }
    if (this.#exempt === undefined) {
      this.#exempt = lease
      this.#grant(lease, bytes)
      return undefined
    }
    if (lease.isLate) return Promise.reject(tooMuch())
    const { delay = systemDelay, maxWaitMs } = this.#options
    lease.cancelTimer ??= delay(() => this.#refuse(lease), maxWaitMs)
    const wish: Wish = { lease, bytes, granted: Promise.withResolvers() }
    this.#wishes.add(wish)
    return wish.granted.promise
  }

  #refuse(lease: Lease): void {
    lease.isLate = true
    this.#withdraw(lease, tooMuch())
    this.#serve()
  }

  #withdraw(lease: Lease, reason: NomalyError): void {
    for (const wish of this.#wishes)
      if (wish.lease === lease) {
        this.#wishes.delete(wish)
        wish.granted.reject(reason)
      }
  }

  #giveBack(lease: Lease): void {
    this.#heldBytes -= lease.bytes
    lease.bytes = 0
    if (this.#exempt === lease) this.#exempt = undefined
    lease.cancelTimer?.()
    this.#withdraw(lease, new NomalyError('internal', 'What was read is not wanted any more.'))
    this.#serve()
  }

  #serve(): void {
    for (const wish of this.#wishes) {
      const isFree = this.#heldBytes + wish.bytes - wish.lease.bytes <= this.#options.maxBytes
      if (!isFree && this.#exempt !== undefined) return
      if (!isFree) this.#exempt = wish.lease
      this.#wishes.delete(wish)
      this.#grant(wish.lease, wish.bytes)
      wish.granted.resolve()
    }
  }

  #grant(lease: Lease, bytes: number): void {
    this.#heldBytes += bytes - lease.bytes
    lease.bytes = bytes
  }
}

interface Lender {
  take(lease: Lease, bytes: number): Promise<void> | undefined
  giveBack(lease: Lease): void
}

class Lease implements ByteLease {
  /** Held now. */
  bytes = 0
  /** Has waited as long as one may: it goes on only where there is room. */
  isLate = false
  /** Set once it had to wait. */
  cancelTimer: (() => void) | undefined
  readonly #lender: Lender
  #isOver = false

  constructor(lender: Lender) {
    this.#lender = lender
  }

  hold(bytes: number): Promise<void> | undefined {
    // What is given back while it was still read holds nothing any more, and ends by itself.
    if (this.#isOver || bytes <= this.bytes) return undefined
    return this.#lender.take(this, bytes)
  }

  [Symbol.dispose](): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#lender.giveBack(this)
  }
}

function tooMuch(): NomalyError {
  return new NomalyError('overloaded', 'Too much is being read and stored at the same time.', {
    hint: 'Nothing of this request was stored: send it again in a moment, or raise NOMALY_MAX_INGEST_BYTES.',
    retryAfterSeconds: 2,
  })
}
