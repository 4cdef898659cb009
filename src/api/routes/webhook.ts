import { Type } from 'typebox'
import { NomalyError } from '../../errors.ts'
import { deliverWebhook } from '../../notifications/deliver-webhook.ts'
import { createWebhook, parseWebhook, WEBHOOK_SETTING } from '../../notifications/webhook.ts'
import type { Store } from '../../store/store.ts'
import type { Api } from '../api.ts'
import { untilAbandoned } from '../plugins/abandonment.ts'
import { identityOf } from '../plugins/authentication.ts'
import { replyPosition, repositoriesOf } from '../plugins/positions.ts'
import { problems } from '../schemas/shared.ts'

const tags = ['webhook']

/** The one webhook of a tenant: called on every new finding. */
export function registerWebhookRoutes(app: Api, store: Store, privateAddresses: 'allow' | 'refuse'): void {
  app.get(
    '/v1/webhook',
    {
      config: { permission: 'administer' },
      schema: {
        tags,
        summary: 'Show the webhook',
        response: { 200: Type.Union([Type.Object({ url: Type.String() }), Type.Null()]), ...problems },
      },
    },
    async (request, reply) => {
      const webhook = parseWebhook(await repositoriesOf(request, store).settings.get(WEBHOOK_SETTING))
      // An answer of `null` needs to be said as JSON, or it would be an empty body.
      return reply
        .type('application/json')
        .serializer(JSON.stringify)
        .send(webhook === undefined ? null : { url: webhook.url })
    },
  )

  app.put(
    '/v1/webhook',
    {
      config: { permission: 'administer' },
      schema: {
        tags,
        summary: 'Set the webhook; the secret that signs its calls is shown this once',
        description: 'Calls are signed after the Standard Webhooks specification.',
        body: Type.Object(
          { url: Type.String({ minLength: 1, maxLength: 2000 }) },
          { additionalProperties: false },
        ),
        response: { 200: Type.Object({ url: Type.String(), secret: Type.String() }), ...problems },
      },
    },
    async (request, reply) => {
      const { scope, actor } = identityOf(request)
      const webhook = createWebhook(request.body.url)
      const { position } = await store.transaction(scope, async (unit) => {
        await unit.settings.set(WEBHOOK_SETTING, webhook, actor)
        await unit.audit.record(actor, 'webhook.set', { kind: 'webhook', id: new URL(webhook.url).host })
      })
      replyPosition(reply, position)
      return webhook
    },
  )

  app.delete(
    '/v1/webhook',
    {
      config: { permission: 'administer' },
      schema: { tags, summary: 'Remove the webhook', response: { 204: Type.Null(), ...problems } },
    },
    async (request, reply) => {
      const { scope, actor } = identityOf(request)
      const { position } = await store.transaction(scope, async (unit) => {
        await unit.settings.remove(WEBHOOK_SETTING)
        await unit.audit.record(actor, 'webhook.remove', { kind: 'webhook', id: '' })
      })
      replyPosition(reply, position)
      return reply.code(204).send(null)
    },
  )

  app.post(
    '/v1/webhook/test',
    {
      config: { permission: 'administer' },
      schema: {
        tags,
        summary: 'Call the webhook once with a test message',
        response: { 200: Type.Object({ delivered: Type.Boolean() }), ...problems },
      },
    },
    async (request, reply) => {
      const webhook = parseWebhook(
        await store.read(identityOf(request).scope, 'latest').settings.get(WEBHOOK_SETTING),
      )
      if (webhook === undefined)
        throw new NomalyError('conflict', 'No webhook is set.', { hint: 'Set one with PUT /v1/webhook.' })
      const now = new Date()
      const payload = { type: 'webhook.test', timestamp: now.toISOString(), data: {} }
      try {
        await deliverWebhook(webhook, `test_${now.getTime()}`, payload, {
          privateAddresses,
          signal: untilAbandoned(reply),
          nowMs: now.getTime(),
        })
      } catch (error) {
        // Not this server is unavailable: the receiver is.
        if (!(error instanceof NomalyError) || error.code !== 'unavailable') throw error
        const { message, hint, cause } = error
        throw new NomalyError('conflict', message, { cause, ...(hint === undefined ? {} : { hint }) })
      }
      return { delivered: true }
    },
  )
}
