import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { laterPosition } from '../../cache/floor.ts'
import { type Freshness, formatPositions, parsePositions, type Position } from '../../database/position.ts'
import { invalidField } from '../../errors.ts'
import type { Repositories } from '../../store/unit-of-work.ts'
import type { Store } from '../../store/store.ts'
import { identityOf } from './authentication.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Where what this request has written stands. */
    written: Position[]
    /** What this request must see at least, by its `Nomaly-Read-After`. */
    readAfter: readonly Position[] | undefined
    /** How old what a read answers may be where nothing else is said, in milliseconds. */
    readLagMs: number
  }
}

const HEADER = 'nomaly-read-after'
const ReadAfter = Type.Optional(
  Type.String({
    description:
      'The `Nomaly-Position` of an answer: what was written there is seen. Without it lists and single things are of this moment; charts, queries and exports may be as old as NOMALY_READ_LAG_MS where there are standbys.',
  }),
)

/** Takes `Nomaly-Read-After` of requests, and says in the reference which reads heed it. */
export function registerReadAfter(app: FastifyInstance, { readLagMs }: { readonly readLagMs: number }): void {
  app.decorateRequest('readAfter', undefined)
  app.decorateRequest('readLagMs', readLagMs)
  app.addHook('onRoute', (route) => {
    if (!route.url.startsWith('/v1/') || (route.method !== 'GET' && route.url !== '/v1/query')) return
    const headers = route.schema?.headers as { properties?: Record<string, unknown> } | undefined
    route.schema = {
      ...route.schema,
      headers: Type.Object({ ...headers?.properties, [HEADER]: ReadAfter } as never),
    }
  })
  app.addHook('onRequest', async (request) => {
    request.written = []
    const text = request.headers[HEADER]
    if (text === undefined) return
    request.readAfter = parsePositions(String(text))
    if (request.readAfter === undefined)
      throw invalidField(
        'Nomaly-Read-After',
        'is not a position',
        'Send the text of a Nomaly-Position header as it was, or leave the header out.',
      )
  })
}

/**
 * Says where a write stands, and keeps what the request came with: a client that sends it back as `Nomaly-Read-After` sees all of that, on whatever
 * server. A browser's session keeps it.
 */
export function replyPosition(reply: FastifyReply, position: Position): void {
  const { request } = reply
  request.written.push(position)
  const known = request.readAfter ?? []
  const others = known.filter(({ systemId }) => systemId !== position.systemId)
  const before = known.find(({ systemId }) => systemId === position.systemId) ?? position
  request.readAfter = [laterPosition(before, position), ...others]
  void reply.header('nomaly-position', formatPositions(request.readAfter))
}

/** How new lists and single things are to be read: the latest, unless the request says what is enough for it. */
export function freshnessOf(request: FastifyRequest, store: Store): { core: Freshness; metrics: Freshness } {
  const { readAfter, readLagMs } = request
  return readAfter === undefined ? { core: 'latest', metrics: 'latest' } : store.noOlder(readAfter, readLagMs)
}

/** What the tenant of a request has, as new as {@link freshnessOf} says. */
export function repositoriesOf(request: FastifyRequest, store: Store): Repositories {
  return store.read(identityOf(request).scope, freshnessOf(request, store).core)
}

/**
 * How new metrics are to be read where many are: not older than the bound that is set, nor than what the request, or the session of its browser,
 * has written.
 */
export async function metricsFreshnessOf(request: FastifyRequest, store: Store): Promise<Freshness> {
  const { readAfter, readLagMs } = request
  const { replicas } = store.metricsDatabase
  if (replicas === undefined) return 'latest'
  if (readAfter !== undefined) return store.noOlder(readAfter, readLagMs).metrics
  if (readLagMs === 0) return 'latest'
  const { session } = identityOf(request)
  if (session === undefined) return store.noOlder([], readLagMs).metrics
  const positions = await store.sessions.positions(session)
  // Nothing is known of its writes there: it reads the latest once, and from then on nothing older.
  if (replicas.isForeign(positions))
    await store.sessions.keepPosition(session, await store.metricsDatabase.position())
  return store.noOlder(positions, readLagMs).metrics
}
