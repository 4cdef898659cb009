import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { FailedAttempts } from '../../limits/failed-attempts.ts'
import { type LimitClass, rateLimitHeaders, type RateLimits, refusal } from '../../limits/rate-limits.ts'
import { bearerOf } from './authentication.ts'
import type { BrowserCookie } from './browser-cookie.ts'

/** Of what class requests to a route are, where it is not told by their method: GET reads, everything else writes. */
export const LIMIT_CLASSES: Readonly<Record<string, LimitClass>> = {
  'POST /v1/datasets/:dataset/points': 'points',
  'POST /v1/datasets/:dataset/corrections': 'points',
  'PUT /v1/datasets/:dataset/backfills/:backfill/parts/:part': 'points',
  'POST /v1/detect': 'expensive',
  'POST /v1/estimate': 'expensive',
  'POST /v1/query': 'expensive',
  'GET /v1/datasets/:dataset/export': 'expensive',
  'GET /v1/series/:id/band': 'expensive',
  'POST /v1/flags/:key/evaluate': 'reads',
}

/** Where wrong keys, links and cookies come from is slowed down. To be registered before whoever looks at them. */
export function registerAttemptLimits(
  app: FastifyInstance,
  { failedAttempts }: { readonly failedAttempts: FailedAttempts },
  cookie: BrowserCookie,
): void {
  app.addHook('onRequest', async (request) => {
    const credential = credentialOf(request, cookie)
    if (credential !== undefined) failedAttempts.admit(request.ip, credential)
  })
}

/** Learns which of them were wrong and which are good. To be registered after whoever looks at them, and gives out new ones. */
export function noteAttempts(
  app: FastifyInstance,
  { failedAttempts }: { readonly failedAttempts: FailedAttempts },
  cookie: BrowserCookie,
): void {
  app.addHook('onSend', async (request, reply, payload) => {
    const given = cookie.given(reply)
    if (given !== undefined) failedAttempts.succeeded(given)
    if (request.identity === undefined && reply.statusCode !== 401) return payload
    const credential = credentialOf(request, cookie)
    if (credential === undefined) return payload
    if (request.identity !== undefined) failedAttempts.succeeded(credential)
    else await failedAttempts.failed(request.ip, credential)
    return payload
  })
}

/** What a request would be let in by. */
function credentialOf(request: FastifyRequest, cookie: BrowserCookie): string | undefined {
  if (request.routeOptions.url === '/sign-in') {
    const { token } = request.query as { token?: unknown }
    return typeof token === 'string' ? token : undefined
  }
  return bearerOf(request) ?? cookie.read(request)
}

/**
 * Refuses what a key, a browser or a tenant asks too often, before anything of a request's body is read: nothing is ever half done for it. To
 * be registered after who is asking is found out.
 */
export function registerRateLimits(
  app: FastifyInstance,
  { rateLimits }: { readonly rateLimits: RateLimits },
): void {
  app.addHook('onRequest', async (request, reply) => {
    const { identity } = request
    if (identity === undefined) return
    const states = await rateLimits.take(identity, classOf(request))
    if (states.length === 0) return
    const { policy, limit } = rateLimitHeaders(states)
    void reply.header('ratelimit-policy', policy).header('ratelimit', limit)
    const error = refusal(states)
    if (error !== undefined) throw error
  })
}

function classOf({ method, routeOptions }: FastifyRequest): LimitClass {
  const named = LIMIT_CLASSES[`${method === 'HEAD' ? 'GET' : method} ${routeOptions.url}`]
  return named ?? (method === 'GET' || method === 'HEAD' ? 'reads' : 'writes')
}
