import type { Position } from '../database/position.ts'

/** One load of a value, for all who want it under the same floors. It is given up when nobody waits any longer. */
export class LoadFlight {
  /** Of generation and nonces of the floors under which it loads. */
  signature: string
  readonly positions: readonly Position[]
  /** The value that it brings misses nothing from before then. */
  readonly newestAtMs: number
  readonly #abort = new AbortController()
  #landing: Promise<unknown> | undefined
  #waiting = 0

  constructor(signature: string, positions: readonly Position[], newestAtMs: number) {
    this.signature = signature
    this.positions = positions
    this.newestAtMs = newestAtMs
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Begins. */
  start(work: (flight: LoadFlight) => Promise<unknown>): void {
    this.#landing = work(this)
    this.#landing.catch(() => {})
  }

  /** Waits for it. @throws the signal's reason. */
  async join(signal: AbortSignal | undefined): Promise<unknown> {
    this.#waiting++
    try {
      return await unlessAborted(this.#landing!, signal)
    } finally {
      this.#waiting--
      if (this.#waiting === 0) this.#abort.abort(signal?.reason)
    }
  }

  /** Goes on although nobody waits. */
  keepOn(): void {
    this.#waiting++
  }

  /** Whether somebody waits: one that is given up is not joined any more. */
  get isWanted(): boolean {
    return !this.signal.aborted
  }
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const abandon = (): void => aborted.reject(signal.reason)
  signal.addEventListener('abort', abandon, { once: true })
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abandon)
  }
}
