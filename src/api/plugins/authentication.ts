import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Identity } from '../../access/identity.ts'
import { isPermitted, type Permission } from '../../access/roles.ts'
import { invalidField, NomalyError } from '../../errors.ts'
import type { BrowserSecret } from '../../sessions/sessions.ts'
import type { Store } from '../../store/store.ts'
import type { BrowserCookie } from './browser-cookie.ts'
import { requireOwnOrigin } from './own-origin.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who is asking; `undefined` on public routes only. */
    identity: Identity | undefined
    /** Gives the session a new secret where it is time. */
    renewSession: (() => Promise<BrowserSecret | undefined>) | undefined
  }
  interface FastifyContextConfig {
    /** What the caller must be allowed; every route names it. */
    permission?: Permission | 'public'
  }
}

export interface AuthenticationOptions {
  readonly store: Pick<Store, 'identities' | 'sessions'>
  readonly cookie: BrowserCookie
  /** Hosts that the Host header may name; `undefined` lets every one pass. */
  readonly allowedHosts: () => ReadonlySet<string> | undefined
}

/** Finds out who is asking, and whether they may, before anything of a request is read. */
export function registerAuthentication(app: FastifyInstance, options: AuthenticationOptions): void {
  const { store, cookie } = options
  app.decorateRequest('identity', undefined)
  app.decorateRequest('renewSession', undefined)
  app.addHook('onRoute', (route) => {
    // A route that forgets to say who may call it must not exist.
    if (route.url.startsWith('/v1/') && route.config?.permission === undefined)
      throw new Error(`The route ${String(route.method)} ${route.url} names no permission.`)
  })
  app.addHook('onRequest', async (request) => {
    checkHost(request, options.allowedHosts())
    const permission = request.routeOptions.config.permission ?? 'public'
    if (permission === 'public' || request.is404) return
    const identity = await identify(request, options)
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
  app.addHook('onSend', async (request, reply, payload) => {
    const session = request.identity?.session
    if (session === undefined) return payload
    for (const position of request.written) await store.sessions.keepPosition(session, position)
    // Only now, so that a request that takes long does not bring a secret that has been replaced already.
    const secret = await request.renewSession?.().catch((error: unknown) => {
      request.log.warn({ err: error }, 'a session was not given a new secret')
      return undefined
    })
    if (secret !== undefined) cookie.set(reply, secret)
    return payload
  })
}

/** Who is asking, on a route that is not public. */
export function identityOf(request: FastifyRequest): Identity {
  if (request.identity === undefined)
    throw new NomalyError('internal', 'The route was reached without an identity.')
  return request.identity
}

/** Whether who asked would still be taken for it: a key may have been revoked, or a browser signed out, while its request goes on. */
export async function isStillKnown(
  request: FastifyRequest,
  { identities, sessions }: AuthenticationOptions['store'],
): Promise<boolean> {
  const { scope, session } = identityOf(request)
  // By now the session may have another secret than the request came with.
  if (session !== undefined) return sessions.isAlive(session)
  const key = bearerOf(request)
  const identity = key === undefined ? undefined : await identities.byApiKey(key)
  return identity?.scope.tenantId === scope.tenantId
}

/** Who a request comes from by what it brought along. */
async function identify(
  request: FastifyRequest,
  { store, cookie }: AuthenticationOptions,
): Promise<Identity | undefined> {
  const key = bearerOf(request)
  if (key !== undefined) return store.identities.byApiKey(key)
  const secret = cookie.read(request)
  if (secret === undefined) return undefined
  refuseForeignOrigin(request)
  const authenticated = await store.sessions.authenticate(secret)
  request.renewSession = authenticated?.renew
  return authenticated?.identity
}

/** The API key that a request came with. */
export function bearerOf(request: FastifyRequest): string | undefined {
  return /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
}

/** A cookie comes along wherever a request comes from: one that changes something must come from our own page. */
function refuseForeignOrigin(request: FastifyRequest): void {
  if (request.method === 'GET' || request.method === 'HEAD') return
  requireOwnOrigin(request)
}

/** Keeps a name of somebody else's that resolves to this machine from being used against it (DNS rebinding). */
function checkHost(request: FastifyRequest, allowed: ReadonlySet<string> | undefined): void {
  if (request.headers.host === undefined) throw invalidField('host', 'is missing: HTTP/1.1 wants the header')
  if (allowed === undefined || allowed.has(request.hostname)) return
  throw new NomalyError('forbidden', 'The Host header names another machine.', {
    hint: 'Set NOMALY_PUBLIC_URL to the address under which the product is reached.',
  })
}
