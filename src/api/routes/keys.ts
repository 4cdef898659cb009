import { Type } from 'typebox'
import type { ApiKey } from '../../access/api-key-repository.ts'
import { ROLES } from '../../access/roles.ts'
import type { Store } from '../../store/store.ts'
import type { UnitOfWork } from '../../store/unit-of-work.ts'
import type { Api } from '../api.ts'
import { identityOf } from '../plugins/authentication.ts'
import { idempotently } from '../plugins/idempotency.ts'
import { replyPosition, repositoriesOf } from '../plugins/positions.ts'
import { IdParams, NullableTime, pageOf, problems, Time } from '../schemas/shared.ts'

const RoleName = Type.Enum([...ROLES], {
  description: 'viewer reads, editor also writes, admin also manages keys and the webhook',
})
const KeyFields = {
  id: Type.String(),
  name: Type.String(),
  role: RoleName,
  prefix: Type.String({ description: 'Its first characters' }),
  createdAt: Time,
  lastUsedAt: NullableTime,
}
const tags = ['keys']

/** API keys of the tenant. */
export function registerKeyRoutes(app: Api, store: Store): void {
  app.get(
    '/v1/keys',
    {
      config: { permission: 'administer' },
      schema: {
        tags,
        summary: 'List API keys',
        response: { 200: pageOf(Type.Object(KeyFields)), ...problems },
      },
    },
    async (request) => {
      const keys = await repositoriesOf(request, store).apiKeys.list()
      // All of them at once: there are at most a thousand.
      return { items: keys.map(present), nextCursor: null }
    },
  )

  app.post(
    '/v1/keys',
    {
      config: { permission: 'administer' },
      schema: {
        tags,
        summary: 'Make an API key; it is shown this once',
        body: Type.Object(
          { name: Type.String({ minLength: 1, maxLength: 200 }), role: RoleName },
          { additionalProperties: false },
        ),
        response: { 201: Type.Object({ ...KeyFields, key: Type.String() }), ...problems },
      },
    },
    async (request, reply) => {
      const { actor } = identityOf(request)
      const { name, role } = request.body
      const work = async (unit: UnitOfWork) => {
        const { apiKey, key } = await unit.apiKeys.create(name, role)
        await unit.audit.record(actor, 'key.create', { kind: 'key', id: apiKey.id }, { name, role })
        return { ...present(apiKey), key }
      }
      return idempotently(store, request, reply.code(201), work, { showsSecret: true })
    },
  )

  app.delete(
    '/v1/keys/:id',
    {
      config: { permission: 'administer' },
      schema: {
        tags,
        summary: 'Revoke an API key',
        params: IdParams,
        response: { 204: Type.Null(), ...problems },
      },
    },
    async (request, reply) => {
      const { scope, actor } = identityOf(request)
      const { id } = request.params
      const { position } = await store.transaction(scope, async (unit) => {
        await unit.apiKeys.revoke(id)
        await unit.audit.record(actor, 'key.revoke', { kind: 'key', id })
      })
      store.identities.forget()
      // The browsers that were signed in with it are not, from now on.
      await store.sessions.heed()
      store.notifier.publish({ channel: 'keys', tenantId: scope.tenantId, id })
      replyPosition(reply, position)
      return reply.code(204).send(null)
    },
  )
}

// eslint-disable-next-line typescript/explicit-function-return-type -- the type is that of the literal
function present(key: ApiKey) {
  return { ...key, createdAt: key.createdAt.toISOString(), lastUsedAt: key.lastUsedAt?.toISOString() ?? null }
}
