/** How easily a {@link Breaker} opens, and how often it lets a probe through. */
export interface BreakerSettings {
  /** Failures within the window that open it. */
  readonly failures: number
  readonly windowMs: number
  /** Until the first probe after it opened; doubled for each one that fails, and each time it opens again soon after it closed. */
  readonly firstProbeMs: number
  readonly lastProbeMs: number
}

/**
 * A circuit breaker: counts failures, opens after a few of them, and says when to look again. Once open it is closed by
 * {@link Breaker.close} alone, after a probe succeeded: no caller's request is ever the probe.
 */
export class Breaker {
  readonly #settings: BreakerSettings
  readonly #clock: () => number
  #failures: number[] = []
  #isOpen = false
  #probes = 0
  #closedAt = Number.NEGATIVE_INFINITY

  constructor(settings: BreakerSettings, clock: () => number) {
    this.#settings = settings
    this.#clock = clock
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Notes a failure or a slow answer. Answers whether it opened by this. */
  fail(): boolean {
    if (this.#isOpen) return false
    const now = this.#clock()
    const { failures, windowMs } = this.#settings
    this.#failures = this.#failures.filter((at) => now - at < windowMs)
    this.#failures.push(now)
    if (this.#failures.length < failures) return false
    this.open()
    return true
  }

  open(): void {
    if (this.#isOpen) return
    this.#isOpen = true
    this.#failures = []
    // One that opens again at once is on trial for longer.
    if (this.#clock() - this.#closedAt > 2 * this.#settings.lastProbeMs) this.#probes = 0
  }

  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#closedAt = this.#clock()
  }

  /** How long to wait before the next probe. Each call is one probe more. */
  nextProbeMs(): number {
    const { firstProbeMs, lastProbeMs } = this.#settings
    return Math.min(lastProbeMs, firstProbeMs * 2 ** Math.min(this.#probes++, 20))
  }
}
