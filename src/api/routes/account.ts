import { Type } from 'typebox'
import { ROLES } from '../../access/roles.ts'
import type { Store } from '../../store/store.ts'
import type { UnitOfWork } from '../../store/unit-of-work.ts'
import type { Api } from '../api.ts'
import { identityOf } from '../plugins/authentication.ts'
import { repositoriesOf } from '../plugins/positions.ts'
import { idempotently } from '../plugins/idempotency.ts'
import { PageQuery, pageOf, pageRequest, problems, Time } from '../schemas/shared.ts'

/** Who one is, links that sign browsers in, and the audit log. */
export function registerAccountRoutes(app: Api, store: Store, version: string): void {
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
      const page = await repositoriesOf(request, store).audit.list(pageRequest(request.query))
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
      const { role, keyId } = identityOf(request)
      const work = async (unit: UnitOfWork): Promise<{ path: string }> => ({
        path: `/sign-in?token=${await unit.signInLinks.create(role, keyId)}`,
      })
      return idempotently(store, request, reply.code(201), work, { showsSecret: true })
    },
  )
}
