import { Type } from 'typebox'
import { ROLES } from '../../access/roles.ts'
import type { Store } from '../../store/store.ts'
import type { Api } from '../api.ts'
import { BROWSER_COOKIE, identityOf } from '../plugins/authentication.ts'
import { PageQuery, pageOf, pageRequest, problems, Time } from '../schemas/shared.ts'

const THIRTY_DAYS = 30 * 86_400

/**
 * Who one is, signing a browser in and out, and the audit log.
 * @param isSecure whether browsers reach the product over TLS, also where a proxy ends it.
 */
export function registerAccountRoutes(app: Api, store: Store, version: string, isSecure: boolean): void {
  app.get(
    '/v1/me',
    {
      config: { permission: 'read' },
      schema: {
        tags: ['account'],
        summary: 'Who the caller is',
        response: {
          200: Type.Object({
            tenant: Type.Object({ id: Type.String(), name: Type.String() }),
            role: Type.Enum([...ROLES]),
            via: Type.Enum(['key', 'browser']),
            version: Type.String(),
          }),
          ...problems,
        },
      },
    },
    async (request) => {
      const { scope, tenantName, role, via } = identityOf(request)
      return { tenant: { id: scope.tenantId, name: tenantName }, role, via, version }
    },
  )

  app.get(
    '/v1/audit',
    {
      config: { permission: 'administer' },
      schema: {
        tags: ['account'],
        summary: 'Who changed what, newest first',
        querystring: Type.Object(PageQuery),
        response: {
          200: pageOf(
            Type.Object({
              id: Type.Integer(),
              at: Time,
              actor: Type.String(),
              action: Type.String(),
              subjectKind: Type.String(),
              subjectId: Type.String(),
              detail: Type.Record(Type.String(), Type.Unknown()),
            }),
          ),
          ...problems,
        },
      },
    },
    async (request) => {
      const page = await store
        .read(identityOf(request).scope, 'latest')
        .audit.list(pageRequest(request.query))
      return {
        items: page.items.map((entry) => ({
          ...entry,
          at: entry.at.toISOString(),
          detail: { ...entry.detail },
        })),
        nextCursor: page.nextCursor,
      }
    },
  )

  app.get(
    '/sign-in',
    {
      config: { permission: 'public' },
      schema: { hide: true, querystring: Type.Object({ token: Type.String({ maxLength: 200 }) }) },
    },
    async (request, reply) => {
      const token = await store.identities.redeemSignInToken(request.query.token)
      return reply
        .setCookie(BROWSER_COOKIE, token, {
          path: '/',
          httpOnly: true,
          // Lax, since the link is opened from a terminal or a mail; what changes anything checks its origin.
          sameSite: 'lax',
          secure: isSecure || request.protocol === 'https',
          maxAge: THIRTY_DAYS,
        })
        .redirect('/')
    },
  )

  app.post(
    '/v1/sign-out',
    {
      config: { permission: 'read' },
      schema: {
        tags: ['account'],
        summary: 'Sign this browser out',
        response: { 204: Type.Null(), ...problems },
      },
    },
    async (request, reply) => {
      const cookie = request.cookies[BROWSER_COOKIE]
      if (cookie !== undefined) {
        await store.identities.signOut(cookie)
        // Other servers may have seen this cookie a moment ago, and streams are open under it.
        store.notifier.publish({ channel: 'keys', tenantId: identityOf(request).scope.tenantId, id: '' })
      }
      return reply.clearCookie(BROWSER_COOKIE, { path: '/' }).code(204).send(null)
    },
  )

  app.post(
    '/v1/sign-in-links',
    {
      config: { permission: 'administer' },
      schema: {
        tags: ['account'],
        summary: 'Make a link that signs one browser in, once, within a quarter of an hour',
        response: { 201: Type.Object({ path: Type.String() }), ...problems },
      },
    },
    async (request, reply) => {
      const { scope, role, keyId } = identityOf(request)
      const token = await store.identities.createSignInToken(scope, role, keyId)
      return reply.code(201).send({ path: `/sign-in?token=${token}` })
    },
  )
}
