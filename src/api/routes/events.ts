import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { Type } from 'typebox'
import type { TenantScope } from '../../access/tenant-scope.ts'
import { NomalyError } from '../../errors.ts'
import type { Store } from '../../store/store.ts'
import type { Api } from '../api.ts'
import { identityOf, isStillKnown } from '../plugins/authentication.ts'
import { problems } from '../schemas/shared.ts'

const MAX_STREAMS = 500
/** So that one tenant cannot take them all. */
const MAX_STREAMS_PER_TENANT = 100
const HEARTBEAT_MS = 15_000
/** Bytes that may wait for a reader before it gets no more for now. */
const MAX_BACKLOG_BYTES = 1_048_576
/** How long a reader may take to catch up before it is let go. */
const PATIENCE_MS = 5_000
const PAGE = 500

/** What happens, as it happens (server-sent events, WHATWG HTML 9.2). */
export function registerEventRoutes(app: Api, store: Store): void {
  const streams = new Set<EventStream>()
  const stopHearing = store.notifier.subscribe(({ channel, tenantId, id }) => {
    for (const stream of streams) {
      if (stream.tenantId !== tenantId) continue
      if (channel === 'events') stream.wake()
      if (channel === 'points') stream.tellPoints(id)
      if (channel === 'keys') void stream.recheck()
    }
  })
  const stopWaking = store.notifier.onReconnect(() => streams.forEach((stream) => stream.wake()))
  const heartbeat = setInterval(() => streams.forEach((stream) => stream.beat()), HEARTBEAT_MS)
  app.addHook('preClose', async () => {
    clearInterval(heartbeat)
    stopHearing()
    stopWaking()
    for (const stream of streams) stream.end()
  })

  app.get(
    '/v1/events',
    {
      config: { permission: 'read' },
      schema: {
        tags: ['events'],
        summary: 'Hear of anomalies, jobs, runs, datasets and points as they change',
        description:
          'text/event-stream. Data carries ids only. `Last-Event-ID` continues where a connection broke.',
        headers: Type.Object({ 'last-event-id': Type.Optional(Type.String({ maxLength: 20 })) }),
        response: {
          200: {
            description: 'Events, without end',
            content: { 'text/event-stream': { schema: Type.String() } },
          },
          ...problems,
        },
      },
    },
    async (request, reply) => {
      const { scope } = identityOf(request)
      const ofTenant = [...streams].filter(({ tenantId }) => tenantId === scope.tenantId).length
      if (streams.size >= MAX_STREAMS || ofTenant >= MAX_STREAMS_PER_TENANT)
        throw new NomalyError('overloaded', 'Too many listeners are connected.', { retryAfterSeconds: 30 })
      const given = request.headers['last-event-id']
      const isNumber = given !== undefined && /^\d{1,15}$/.test(given)
      const { oldestId, newestId } = await store.read(scope, 'latest').events.bounds()
      const lastId = isNumber ? Math.min(Number(given), newestId) : newestId
      reply.hijack()
      // The caller may have gone while the database was asked: its `close` will not come again.
      if (reply.raw.destroyed) return
      reply.raw.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        connection: 'keep-alive',
        'x-accel-buffering': 'no',
      })
      const stream = new EventStream(store, scope, reply.raw, lastId, () => isStillKnown(request, store))
      streams.add(stream)
      if (lastId < oldestId - 1) stream.tellReset()
      reply.raw.on('close', () => {
        stream.end()
        streams.delete(stream)
      })
      stream.wake()
    },
  )
}

/** One listener: reads on from the last event it has seen, whenever there is something new. */
class EventStream {
  readonly tenantId: string
  readonly #store: Store
  readonly #scope: TenantScope
  readonly #response: ServerResponse
  #lastId: number
  #reading = false
  #again = false
  #isOver = false
  readonly #isStillKnown: () => Promise<boolean>

  constructor(
    store: Store,
    scope: TenantScope,
    response: ServerResponse,
    lastId: number,
    isKnown: () => Promise<boolean>,
  ) {
    this.#isStillKnown = isKnown
    this.tenantId = scope.tenantId
    this.#store = store
    this.#scope = scope
    this.#response = response
    this.#lastId = lastId
    // Tells the browser how long to wait before it connects again, and from where.
    this.#write(`retry: 1000\nid: ${lastId}\nevent: hello\ndata: {}\n\n`)
  }

  wake(): void {
    this.#again = true
    if (!this.#reading) void this.#read()
  }

  /** Events that the caller has not seen are gone already: it should read everything again. */
  tellReset(): void {
    this.#write('event: reset\ndata: {}\n\n')
  }

  /** Points are announced without a number: there are too many to keep, and the next ones tell the same. */
  tellPoints(datasetId: string): void {
    if (this.#response.writableLength <= MAX_BACKLOG_BYTES)
      this.#write(`event: points\ndata: ${JSON.stringify({ datasetId })}\n\n`)
  }

  beat(): void {
    this.#write(': still here\n\n')
    this.wake()
    void this.recheck()
  }

  /** Ends where the key was revoked or the browser signed out meanwhile. */
  async recheck(): Promise<void> {
    try {
      if (!(await this.#isStillKnown())) this.end()
    } catch {
      // The database is away: the next heartbeat asks again.
    }
  }

  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#response.end()
  }

  async #read(): Promise<void> {
    this.#reading = true
    try {
      while (this.#again && !this.#isOver) {
        this.#again = false
        const events = await this.#store.read(this.#scope, 'latest').events.after(this.#lastId, PAGE)
        for (const { id, topic, payload } of events) {
          this.#write(`id: ${id}\nevent: ${topic}\ndata: ${JSON.stringify(payload)}\n\n`)
          this.#lastId = id
          if (this.#response.writableLength > MAX_BACKLOG_BYTES && !(await this.#caughtUp()))
            return this.#letGo()
        }
        if (events.length === PAGE) this.#again = true
      }
    } catch {
      // The database is away: the next heartbeat looks again.
    } finally {
      this.#reading = false
    }
  }

  #write(text: string): void {
    if (!this.#isOver) this.#response.write(text)
  }

  /** Waits until the reader has taken what waits for it. @returns whether it did in time. */
  async #caughtUp(): Promise<boolean> {
    try {
      await once(this.#response, 'drain', { signal: AbortSignal.timeout(PATIENCE_MS) })
      return true
    } catch {
      return false
    }
  }

  /** Cuts the connection of a reader that does not read: an end in order would wait for it, with all that is kept for it. */
  #letGo(): void {
    this.#isOver = true
    this.#response.destroy()
  }
}
