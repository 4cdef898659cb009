import type { Flags } from './flags.ts'

/** So many may wait in one process, and of one tenant; whoever comes then is answered at once. */
const MAX_WAITERS = 2_000
const MAX_WAITERS_PER_TENANT = 500

interface Waiter {
  readonly tenantId: string
  readonly end: () => void
}

/** Those who wait for a change of a tenant's flags. */
export class RulesetWaiters {
  readonly #waiters = new Set<Waiter>()
  readonly #stop: () => void

  constructor(flags: Flags) {
    this.#stop = flags.onChange(({ tenantId }) => {
      for (const waiter of this.#waiters)
        if (tenantId === undefined || tenantId === waiter.tenantId) waiter.end()
    })
  }

  /** Comes back at the next change, when the time is over, or when nobody waits any more. */
  async wait(tenantId: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const ofTenant = [...this.#waiters].filter((waiter) => waiter.tenantId === tenantId).length
    if (signal.aborted || this.#waiters.size >= MAX_WAITERS || ofTenant >= MAX_WAITERS_PER_TENANT) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const waiter: Waiter = { tenantId, end: () => resolve() }
    const timer = setTimeout(waiter.end, timeoutMs)
    signal.addEventListener('abort', waiter.end, { once: true })
    this.#waiters.add(waiter)
    try {
      await promise
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', waiter.end)
      this.#waiters.delete(waiter)
    }
  }

  /** Lets everybody go. */
  close(): void {
    this.#stop()
    for (const { end } of this.#waiters) end()
  }
}
