import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Identities } from '../../access/identities.ts'
import type { Identity } from '../../access/identity.ts'
import { isPermitted, type Permission } from '../../access/roles.ts'
import { invalidField, NomalyError } from '../../errors.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who is asking; `undefined` on public routes only. */
    identity: Identity | undefined
  }
  interface FastifyContextConfig {
    /** What the caller must be allowed; every route names it. */
    permission?: Permission | 'public'
  }
}

export const BROWSER_COOKIE = 'nomaly_browser'

export interface AuthenticationOptions {
  readonly identities: Identities
  /** Hosts that the Host header may name; `undefined` lets every one pass. */
  readonly allowedHosts: () => ReadonlySet<string> | undefined
}

/** Finds out who is asking, and whether they may, before anything of a request is read. */
export function registerAuthentication(app: FastifyInstance, options: AuthenticationOptions): void {
  app.decorateRequest('identity', undefined)
  app.addHook('onRoute', (route) => {
    // A route that forgets to say who may call it must not exist.
    if (route.url.startsWith('/v1/') && route.config?.permission === undefined)
      throw new Error(`The route ${String(route.method)} ${route.url} names no permission.`)
  })
  app.addHook('onRequest', async (request) => {
    checkHost(request, options.allowedHosts())
    const permission = request.routeOptions.config.permission ?? 'public'
    if (permission === 'public' || request.is404) return
    const identity = await identify(request, options.identities)
    if (identity === undefined)
      throw new NomalyError('unauthenticated', 'This needs an API key, or a browser that is signed in.', {
        hint: 'Send `Authorization: Bearer <key>`, or open a link printed by `nomaly link`.',
      })
    if (!isPermitted(identity.role, permission))
      throw new NomalyError(
        'forbidden',
        `The role ${identity.role} may not do this; it needs the permission to ${permission}.`,
        {
          hint: 'Use a key with another role; `nomaly keys create` makes one.',
        },
      )
    request.identity = identity
  })
}

/** Who is asking, on a route that is not public. */
export function identityOf(request: FastifyRequest): Identity {
  if (request.identity === undefined)
    throw new NomalyError('internal', 'The route was reached without an identity.')
  return request.identity
}

/** Who a request comes from by what it brought along, asked anew; `undefined` for nobody, or nobody any more. */
export async function identify(
  request: FastifyRequest,
  identities: Identities,
): Promise<Identity | undefined> {
  const bearer = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
  if (bearer !== undefined) return identities.byApiKey(bearer)
  const cookie = request.cookies[BROWSER_COOKIE]
  if (cookie === undefined) return undefined
  refuseForeignOrigin(request)
  return identities.byBrowserToken(cookie)
}

/** A cookie comes along wherever a request comes from: one that changes something must come from our own page. */
function refuseForeignOrigin(request: FastifyRequest): void {
  if (request.method === 'GET' || request.method === 'HEAD') return
  const site = request.headers['sec-fetch-site']
  const { origin } = request.headers
  const isOwn = origin !== undefined && URL.canParse(origin) && new URL(origin).host === request.headers.host
  if (site === 'same-origin' || (site === undefined && isOwn)) return
  throw new NomalyError('forbidden', 'The request comes from another site.', {
    hint: 'Programs use an API key instead of a browser cookie.',
  })
}

/** Keeps a name of somebody else's that resolves to this machine from being used against it (DNS rebinding). */
function checkHost(request: FastifyRequest, allowed: ReadonlySet<string> | undefined): void {
  if (request.headers.host === undefined) throw invalidField('host', 'is missing: HTTP/1.1 wants the header')
  if (allowed === undefined || allowed.has(request.hostname)) return
  throw new NomalyError('forbidden', 'The Host header names another machine.', {
    hint: 'Set NOMALY_PUBLIC_URL to the address under which the product is reached.',
  })
}
