import type { EventTail, TailEvent } from '../../store/event-tail.ts'
import type { DropReason, EventSink, SharedTexts } from './event-sink.ts'

/** Bytes that may wait for a reader before it gets no more for now. */
const MAX_BACKLOG_BYTES = 262_144
/** How long a reader may take to catch up before it is let go. */
const PATIENCE_MS = 5_000
const PIECE_BYTES = 65_536
/** Datasets whose new points a reader that is behind is told of later. */
const MAX_UNTOLD = 1_000

export interface EventStreamOptions {
  readonly sink: EventSink
  readonly tail: EventTail
  readonly lastId: number
  /** Whether who listens would still be let in. */
  readonly isStillKnown: () => Promise<boolean>
  /** Is called once, when the server ends it. */
  readonly onDrop: (reason: DropReason) => void
}

/** One listener: gets everything above the last number it has, in order, from memory where that reaches back far enough. */
export class EventStream {
  readonly #options: EventStreamOptions
  #lastId: number
  #isCatchingUp = false
  #isOver = false
  readonly #untold = new Set<string>()

  constructor(options: EventStreamOptions) {
    this.#options = options
    this.#lastId = options.lastId
    options.sink.greet(options.lastId)
  }

  /** Sends what there is now, as much as the reader takes; goes on by itself where that is not all. */
  pump(shared: SharedTexts): void {
    if (this.#isOver || this.#isCatchingUp) return
    const { sink, tail } = this.#options
    while (sink.backlogBytes <= MAX_BACKLOG_BYTES) {
      const events = tail.after(this.#lastId, PIECE_BYTES)
      if (events === undefined) break
      if (events.length === 0) return
      this.#send(events, shared)
    }
    void this.#catchUp()
  }

  /** Events that the reader has not seen are gone already: it should read everything again. */
  tellReset(): void {
    if (!this.#isOver) this.#options.sink.tell('reset', {}, new Map())
  }

  /** Points are announced without a number: there are too many to keep, and the next ones tell the same. */
  tellPoints(datasetIds: ReadonlySet<string>, shared: SharedTexts): void {
    if (this.#isOver) return
    const { sink } = this.#options
    if (sink.backlogBytes <= MAX_BACKLOG_BYTES)
      for (const datasetId of datasetIds) sink.tell('points', { datasetId }, shared)
    else for (const id of datasetIds) if (this.#untold.size < MAX_UNTOLD) this.#untold.add(id)
  }

  /** Shows that the connection stands, and looks whether it still should. */
  beat(): void {
    if (this.#isOver) return
    // What already waits for the reader says the same.
    if (this.#options.sink.backlogBytes <= MAX_BACKLOG_BYTES && !this.#options.sink.beat())
      return this.drop('silent')
    void this.recheck()
  }

  /** Ends where the key was revoked or the browser signed out meanwhile. */
  async recheck(): Promise<void> {
    try {
      if (!(await this.#options.isStillKnown())) this.drop('revoked')
    } catch {
      // The database is away: the next heartbeat asks again.
    }
  }

  drop(reason: DropReason): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#options.sink.drop(reason)
    this.#options.onDrop(reason)
  }

  /** The other end has gone. */
  leave(): void {
    this.#isOver = true
  }

  async #catchUp(): Promise<void> {
    const { sink, tail } = this.#options
    this.#isCatchingUp = true
    try {
      while (!this.#isOver) {
        if (sink.backlogBytes > MAX_BACKLOG_BYTES && !(await sink.drained(PATIENCE_MS)))
          return this.drop('slow')
        if (this.#isOver) return
        this.#tellUntold()
        const kept = tail.after(this.#lastId, PIECE_BYTES)
        const events = kept ?? (await this.#readPage())
        if (events.length === 0) return
        for (const piece of kept === undefined ? pieces(events) : [events]) {
          if (sink.backlogBytes > MAX_BACKLOG_BYTES && !(await sink.drained(PATIENCE_MS)))
            return this.drop('slow')
          this.#send(piece, new Map())
        }
      }
    } catch {
      // The database is away: the next heartbeat looks again.
    } finally {
      this.#isCatchingUp = false
    }
  }

  async #readPage(): Promise<readonly TailEvent[]> {
    const { events, oldestId } = await this.#options.tail.page(this.#lastId)
    if (this.#lastId < oldestId - 1 && this.#lastId !== 0) this.tellReset()
    return events
  }

  #send(events: readonly TailEvent[], shared: SharedTexts): void {
    if (this.#isOver) return
    this.#options.sink.send(events, shared)
    this.#lastId = events.at(-1)!.id
  }

  #tellUntold(): void {
    for (const datasetId of this.#untold) this.#options.sink.tell('points', { datasetId }, new Map())
    this.#untold.clear()
  }
}

function* pieces(events: readonly TailEvent[]): Generator<readonly TailEvent[]> {
  let start = 0
  let bytes = 0
  for (let end = 0; end < events.length; end++) {
    bytes += events[end]!.data.length
    if (bytes < PIECE_BYTES && end < events.length - 1) continue
    yield events.slice(start, end + 1)
    start = end + 1
    bytes = 0
  }
}
