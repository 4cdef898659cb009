import type { EventTail } from '../../store/event-tail.ts'
import type { SharedTexts } from './event-sink.ts'
import type { EventStream } from './event-stream.ts'

/** How long all listeners of a tenant are left alone after they were served: 0.1 ms for each, so that a process has time for other things. */
const PAUSE_MS_PER_STREAM = 0.1
const MAX_PAUSE_MS = 200

/** All listeners of one tenant in this process: what is new is read once, and passed on to them in rounds. */
export class TenantFeed {
  readonly streams = new Set<EventStream>()
  readonly tail: EventTail
  readonly #datasetIds = new Set<string>()
  #isDue = false
  #isServing = false
  #isStopped = false
  #timer: NodeJS.Timeout | undefined
  #servedMs = Number.NEGATIVE_INFINITY

  constructor(tail: EventTail) {
    this.tail = tail
  }

  /** There may be something new. */
  wake(): void {
    this.#isDue = true
    if (this.#isServing || this.#isStopped || this.#timer !== undefined) return
    const pauseMs = Math.min(MAX_PAUSE_MS, this.streams.size * PAUSE_MS_PER_STREAM)
    const waitMs = this.#servedMs + pauseMs - performance.now()
    if (waitMs <= 1) return void this.#serve()
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      void this.#serve()
    }, waitMs)
  }

  /** A dataset has new points. */
  tellPoints(datasetId: string): void {
    this.#datasetIds.add(datasetId)
    this.wake()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#isStopped = true
  }

  async #serve(): Promise<void> {
    this.#isServing = true
    this.#isDue = false
    try {
      await this.tail.refresh()
    } catch {
      // The database is away: the next heartbeat looks again.
    }
    const shared: SharedTexts = new Map()
    const datasetIds = new Set(this.#datasetIds)
    this.#datasetIds.clear()
    for (const stream of this.streams) {
      stream.pump(shared)
      if (datasetIds.size > 0) stream.tellPoints(datasetIds, shared)
    }
    this.#servedMs = performance.now()
    this.#isServing = false
    if (this.#isDue) this.wake()
  }
}
