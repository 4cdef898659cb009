import type { EventRepository, StoredEvent } from './event-repository.ts'
import { Turnstile } from './turnstile.ts'

/** An event as it is kept for everybody who hears of it. */
export interface TailEvent {
  readonly id: number
  readonly topic: string
  /** The payload, as JSON. */
  readonly data: string
}

/** Some events in a row, and how far back those reach that are kept. */
export interface EventPage {
  readonly events: readonly TailEvent[]
  /** Number of the oldest event that is kept; 0 where there is none. */
  readonly oldestId: number
}

export interface EventTailOptions {
  readonly read: Pick<EventRepository, 'after' | 'bounds'>
  /** The number of the newest event: where it begins. */
  readonly fromId: number
  /** What it may keep in memory; asked anew whenever something is added. */
  readonly maxBytes: () => number
  /** What those who are behind read is read through this, which all tenants share. */
  readonly turnstile: Turnstile
}

const PAGE = 500
/** What an event takes beside its text. */
const OVERHEAD_BYTES = 100

/**
 * The newest events of one tenant, read once for all who hear of them in this process: without a gap from one number to the last that was read.
 * The relay numbers in the order of commits, so that nothing appears later below a number that was read already.
 */
export class EventTail {
  readonly #options: EventTailOptions
  #events: TailEvent[] = []
  #bytes = 0
  /** Everything above it, up to {@link topId}, is kept. */
  #floorId: number
  #topId: number
  #isStale = false
  #refreshing: Promise<void> | undefined
  /** By the number they begin above: those who ask for the same get the same. */
  readonly #pages = new Map<number, Promise<EventPage>>()
  /** One at a time, so that one tenant's do not stand before all others'. */
  readonly #turnstile = new Turnstile(1)

  constructor(options: EventTailOptions) {
    this.#options = options
    this.#floorId = options.fromId
    this.#topId = options.fromId
  }

  /** Number of the newest event that was read. */
  get topId(): number {
    return this.#topId
  }

  /** What the kept events take in memory, about. */
  get bytes(): number {
    return this.#bytes
  }

  /** Reads what is new; what was committed before the call is known after it. */
  refresh(): Promise<void> {
    this.#isStale = true
    this.#refreshing ??= this.#readOn().finally(() => (this.#refreshing = undefined))
    return this.#refreshing
  }

  /**
   * Those kept above a number, ascending, up to `maxBytes` of data but at least one where there is one.
   * @returns `undefined` where some of them are kept no more: {@link page} has them.
   */
  after(id: number, maxBytes: number): readonly TailEvent[] | undefined {
    if (id < this.#floorId) return undefined
    const start = firstAbove(this.#events, id)
    let end = start
    for (let bytes = 0; end < this.#events.length && (end === start || bytes < maxBytes); end++)
      bytes += this.#events[end]!.data.length
    return this.#events.slice(start, end)
  }

  /** Those above a number, from the database. Each is read once for all who ask for it at the same time. */
  page(id: number): Promise<EventPage> {
    const known = this.#pages.get(id)
    if (known !== undefined) return known
    const page = this.#readPage(id).finally(() => this.#pages.delete(id))
    this.#pages.set(id, page)
    return page
  }

  async #readPage(id: number): Promise<EventPage> {
    const { read } = this.#options
    return await this.#turnstile.run(() =>
      this.#options.turnstile.run(async () => {
        const events = await read.after(id, PAGE)
        // Only afterwards, so that it says what may have been removed before they were read.
        const { oldestId } = await read.bounds()
        return { events: events.map(keep), oldestId }
      }),
    )
  }

  async #readOn(): Promise<void> {
    while (this.#isStale) {
      this.#isStale = false
      const events = await this.#options.read.after(this.#topId, PAGE)
      this.#add(events)
      if (events.length === PAGE) this.#isStale = true
    }
  }

  #add(events: readonly StoredEvent[]): void {
    for (const stored of events) {
      const event = keep(stored)
      this.#events.push(event)
      this.#bytes += event.data.length + OVERHEAD_BYTES
      this.#topId = event.id
    }
    const maxBytes = this.#options.maxBytes()
    let dropped = 0
    for (; this.#bytes > maxBytes && dropped < this.#events.length; dropped++) {
      const event = this.#events[dropped]!
      this.#bytes -= event.data.length + OVERHEAD_BYTES
      this.#floorId = event.id
    }
    if (dropped > 0) this.#events = this.#events.slice(dropped)
  }
}

function keep({ id, topic, payload }: StoredEvent): TailEvent {
  return { id, topic, data: JSON.stringify(payload) }
}

/** Where the first event above a number stands. */
function firstAbove(events: readonly TailEvent[], id: number): number {
  let low = 0
  let high = events.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (events[middle]!.id <= id) low = middle + 1
    else high = middle
  }
  return low
}
