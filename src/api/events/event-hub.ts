import type { TenantScope } from '../../access/tenant-scope.ts'
import type { Config } from '../../config/profiles.ts'
import { NomalyError } from '../../errors.ts'
import { EventTail } from '../../store/event-tail.ts'
import type { Store } from '../../store/store.ts'
import { Turnstile } from '../../store/turnstile.ts'
import type { ProcessMetrics } from '../../telemetry/process-metrics.ts'
import type { EventSink } from './event-sink.ts'
import { EventStream } from './event-stream.ts'
import { TenantFeed } from './tenant-feed.ts'

const HEARTBEAT_MS = 15_000
/** Events that one tenant's listeners may be behind before the database is asked again for each. */
const MAX_TAIL_BYTES = 4_194_304
/** The same for all tenants together. */
const MAX_TAILS_BYTES = 67_108_864
/** Connections to the database that listeners who are behind may take. */
const PAGES_AT_ONCE = 3

export interface EventHubOptions {
  readonly store: Store
  readonly limits: Pick<Config, 'maxEventStreams' | 'maxEventStreamsPerTenant'>
  readonly metrics: Pick<ProcessMetrics, 'eventStreams' | 'eventStreamsDropped'>
  readonly log: (fields: object, message: string) => void
}

/** Where a listener wants to begin: above a number it has, or with what comes next. */
export interface Listener {
  readonly scope: TenantScope
  /** As it was sent. */
  readonly lastEventId: string | undefined
  readonly isStillKnown: () => Promise<boolean>
}

/** Everybody who listens to this process, by tenant. */
export class EventHub {
  readonly #options: EventHubOptions
  readonly #feeds = new Map<string, TenantFeed>()
  readonly #counts = new Map<string, number>()
  #count = 0
  readonly #turnstile = new Turnstile(PAGES_AT_ONCE)
  readonly #stop: (() => void)[]

  constructor(options: EventHubOptions) {
    this.#options = options
    const { notifier } = options.store
    const heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS)
    this.#stop = [
      () => clearInterval(heartbeat),
      notifier.subscribe(({ channel, tenantId, id }) => {
        const feed = this.#feeds.get(tenantId)
        if (channel === 'events') feed?.wake()
        if (channel === 'points') feed?.tellPoints(id)
        if (channel === 'keys') feed?.streams.forEach((stream) => void stream.recheck())
      }),
      notifier.onReconnect(() => this.#feeds.forEach((feed) => feed.wake())),
    ]
  }

  /** @throws NomalyError `overloaded` where one more listener would be too many. */
  requireRoom({ tenantId }: TenantScope): void {
    const { maxEventStreams, maxEventStreamsPerTenant } = this.#options.limits
    if (this.#count >= maxEventStreams || (this.#counts.get(tenantId) ?? 0) >= maxEventStreamsPerTenant)
      throw new NomalyError('overloaded', 'Too many listeners are connected.', {
        hint: 'Close those that are not needed; NOMALY_MAX_EVENT_STREAMS and NOMALY_MAX_EVENT_STREAMS_PER_TENANT say how many may be.',
        retryAfterSeconds: 30,
      })
  }

  /**
   * Lets one in: reads where it stands, has `connect` answer it, and serves it from then on.
   * @param connect answers `undefined` where the other end has gone meanwhile.
   * @throws NomalyError `overloaded`.
   */
  async listen(
    { scope, lastEventId, isStillKnown }: Listener,
    connect: () => { sink: EventSink; onClose: (listener: () => void) => void } | undefined,
  ): Promise<void> {
    this.requireRoom(scope)
    const leave = this.#enter(scope.tenantId)
    try {
      const { oldestId, newestId } = await this.#options.store.read(scope, 'latest').events.bounds()
      const connection = connect()
      if (connection === undefined) return leave()
      const { sink, onClose } = connection
      const given = /^\d{1,15}$/.test(lastEventId ?? '') ? Number(lastEventId) : newestId
      // A number that was never given out is one of a database that was restored to an older state.
      const isGone = given < oldestId - 1 || given > newestId
      const lastId = isGone && given > newestId ? newestId : isGone ? oldestId - 1 : given
      const feed = this.#feedOf(scope, newestId)
      const stream = new EventStream({
        sink,
        tail: feed.tail,
        lastId,
        isStillKnown,
        onDrop: (reason) => {
          const { transport } = sink
          this.#options.metrics.eventStreamsDropped.inc({ transport, reason })
          this.#options.log({ tenantId: scope.tenantId, transport, reason }, 'a listener was dropped')
        },
      })
      const gauge = this.#options.metrics.eventStreams
      gauge.inc({ transport: sink.transport })
      feed.streams.add(stream)
      onClose(() => {
        stream.leave()
        feed.streams.delete(stream)
        gauge.dec({ transport: sink.transport })
        leave()
        if (feed.streams.size === 0) this.#close(scope.tenantId, feed)
      })
      if (isGone) stream.tellReset()
      feed.wake()
    } catch (error) {
      leave()
      throw error
    }
  }

  /** Ends all. */
  stop(): void {
    for (const stop of this.#stop) stop()
    for (const feed of this.#feeds.values()) {
      feed.stop()
      for (const stream of feed.streams) stream.drop('stopping')
    }
  }

  #enter(tenantId: string): () => void {
    this.#count++
    this.#counts.set(tenantId, (this.#counts.get(tenantId) ?? 0) + 1)
    let hasLeft = false
    return () => {
      if (hasLeft) return
      hasLeft = true
      this.#count--
      const left = this.#counts.get(tenantId)! - 1
      if (left === 0) this.#counts.delete(tenantId)
      else this.#counts.set(tenantId, left)
    }
  }

  #feedOf(scope: TenantScope, newestId: number): TenantFeed {
    const known = this.#feeds.get(scope.tenantId)
    if (known !== undefined) return known
    const feed = new TenantFeed(
      new EventTail({
        read: this.#options.store.read(scope, 'latest').events,
        fromId: newestId,
        turnstile: this.#turnstile,
        maxBytes: () => Math.min(MAX_TAIL_BYTES, MAX_TAILS_BYTES / this.#feeds.size),
      }),
    )
    this.#feeds.set(scope.tenantId, feed)
    return feed
  }

  #close(tenantId: string, feed: TenantFeed): void {
    feed.stop()
    if (this.#feeds.get(tenantId) === feed) this.#feeds.delete(tenantId)
  }

  #beat(): void {
    for (const feed of this.#feeds.values()) {
      for (const stream of feed.streams) stream.beat()
      feed.wake()
    }
  }
}
