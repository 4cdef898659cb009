import { Type } from 'typebox'
import type { Identity } from '../../access/identity.ts'
import { isPermitted, ROLES } from '../../access/roles.ts'
import { NomalyError, notFound } from '../../errors.ts'
import type { Ending } from '../../sessions/end-sessions.ts'
import type { SessionOwner } from '../../sessions/list-sessions.ts'
import type { Store } from '../../store/store.ts'
import type { Api } from '../api.ts'
import { identityOf } from '../plugins/authentication.ts'
import type { BrowserCookie } from '../plugins/browser-cookie.ts'
import { IdParams, PageQuery, pageOf, pageRequest, problems, Time } from '../schemas/shared.ts'

const tags = ['account']
const All = Type.Optional(
  Type.Boolean({ description: 'Those of the whole tenant; for administrators', default: false }),
)

/** Signing browsers in and out, and which of them are signed in. */
export function registerSessionRoutes(app: Api, store: Store, cookie: BrowserCookie): void {
  /** Ends sessions, and tells other servers: they may have seen a cookie a moment ago, and streams are open under it. */
  const end = async (identity: Identity, ending: Omit<Ending, 'actor'>): Promise<boolean> => {
    const { scope, actor } = identity
    const wasThere = await store.sessions.end(scope, { actor, ...ending })
    if (wasThere) store.notifier.publish({ channel: 'keys', tenantId: scope.tenantId, id: '' })
    return wasThere
  }

  app.get(
    '/sign-in',
    {
      config: { permission: 'public' },
      schema: { hide: true, querystring: Type.Object({ token: Type.String({ maxLength: 200 }) }) },
    },
    async (request, reply) => {
      const secret = await store.sessions.signIn(request.query.token, {
        userAgent: request.headers['user-agent'],
        former: cookie.read(request),
      })
      cookie.set(reply, secret)
      return reply.redirect('/')
    },
  )

  app.post(
    '/v1/sign-out',
    {
      config: { permission: 'read' },
      schema: { tags, summary: 'Sign this browser out', response: { 204: Type.Null(), ...problems } },
    },
    async (request, reply) => {
      const identity = identityOf(request)
      const { session } = identity
      if (session !== undefined) {
        await end(identity, { kind: 'session', subject: session.id, reason: 'signed out' })
        request.renewSession = undefined
      }
      cookie.clear(reply)
      return reply.code(204).send(null)
    },
  )

  app.post(
    '/v1/sign-out-everywhere',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'Sign out every browser of the key that the caller is, or was signed in with',
        description:
          'Also this one. Links that were made with that key and not used yet sign nobody in any more.',
        querystring: Type.Object({ all: All }),
        response: { 204: Type.Null(), ...problems },
      },
    },
    async (request, reply) => {
      const identity = identityOf(request)
      const owner = ownerOf(identity, request.query.all)
      const reason = 'signed out everywhere'
      await end(
        identity,
        owner === 'tenant'
          ? { kind: 'tenant', subject: null, reason }
          : { kind: 'key', subject: owner.keyId, reason },
      )
      request.renewSession = undefined
      if (identity.session !== undefined) cookie.clear(reply)
      return reply.code(204).send(null)
    },
  )

  app.get(
    '/v1/sessions',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'List the browsers that are signed in, newest first',
        description: 'Those of the key that the caller is, or was signed in with.',
        querystring: Type.Object({ ...PageQuery, all: All }),
        response: {
          200: pageOf(
            Type.Object({
              id: Type.String(),
              device: Type.String({ description: 'As its user agent tells: "Firefox on Linux"' }),
              role: Type.Enum([...ROLES]),
              key: Type.Union([Type.Object({ id: Type.String(), name: Type.String() }), Type.Null()], {
                description: 'That its link was made with; null for a link printed at the start',
              }),
              createdAt: Time,
              lastSeenAt: Type.String({ format: 'date-time', description: 'To a quarter of an hour' }),
              expiresAt: Type.String({ format: 'date-time', description: 'However much it is used' }),
              current: Type.Boolean({ description: 'Whether it is the one that asks' }),
            }),
          ),
          ...problems,
        },
      },
    },
    async (request) => {
      const identity = identityOf(request)
      const owner = ownerOf(identity, request.query.all)
      const page = await store.sessions.list(identity.scope, owner, pageRequest(request.query))
      return {
        items: page.items.map(({ id, device, role, keyId, keyName, createdAt, lastSeenAt, expiresAt }) => ({
          id,
          device,
          role,
          key: keyId === null ? null : { id: keyId, name: keyName ?? '' },
          createdAt: createdAt.toISOString(),
          lastSeenAt: lastSeenAt.toISOString(),
          expiresAt: expiresAt.toISOString(),
          current: id === identity.session?.id,
        })),
        nextCursor: page.nextCursor,
      }
    },
  )

  app.delete(
    '/v1/sessions/:id',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'Sign a browser out',
        description:
          'One of the key that the caller is, or was signed in with; administrators any of the tenant.',
        params: IdParams,
        response: { 204: Type.Null(), ...problems },
      },
    },
    async (request, reply) => {
      const identity = identityOf(request)
      const { id } = request.params
      const owner = isPermitted(identity.role, 'administer') ? 'tenant' : ownerOf(identity, false)
      const ending = { kind: 'session', subject: id, owner, reason: 'revoked' } as const
      if (!(await end(identity, ending))) throw notFound('session', id)
      if (id === identity.session?.id) {
        request.renewSession = undefined
        cookie.clear(reply)
      }
      return reply.code(204).send(null)
    },
  )
}

/** Whose sessions a caller means. @throws NomalyError `forbidden` where all are meant by somebody who may not. */
function ownerOf(identity: Identity, all: boolean | undefined): SessionOwner {
  if (all !== true) return { keyId: identity.keyId ?? null }
  if (isPermitted(identity.role, 'administer')) return 'tenant'
  throw new NomalyError('forbidden', `The role ${identity.role} may not do this for the whole tenant.`, {
    hint: 'Leave `all` out, or use a key of an administrator.',
  })
}
