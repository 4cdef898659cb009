import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { NomalyError, notFound } from '../../errors.ts'
import type { FlagContext } from '../../flags/evaluation.ts'
import { RulesetWaiters } from '../../flags/ruleset-waiters.ts'
import type { Store } from '../../store/store.ts'
import type { Api } from '../api.ts'
import { untilAbandoned } from '../plugins/abandonment.ts'
import { identityOf, isStillKnown } from '../plugins/authentication.ts'
import { DefinitionBody, FlagParams, presentDefinition } from '../schemas/flags.ts'
import { problems } from '../schemas/shared.ts'

const tags = ['flags']

/** What flags come out as, here or where their rules are taken to. */
export function registerFlagEvaluationRoutes(app: Api, store: Store): void {
  app.post(
    '/v1/flags/:key/evaluate',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'Say what a flag comes out as, and why',
        description: 'A flag of the tenant, or else one of the installation.',
        params: FlagParams,
        body: Type.Object(
          {
            targetingKey: Type.Optional(Type.String({ maxLength: 1_000, description: 'Who it is' })),
            attributes: Type.Optional(Type.Record(Type.String(), Type.Unknown(), { maxProperties: 100 })),
          },
          { additionalProperties: false },
        ),
        response: {
          200: Type.Object({
            key: Type.String(),
            value: Type.Optional(
              Type.Unknown({ description: 'Left out where the default of the program holds' }),
            ),
            variant: Type.Union([Type.String(), Type.Null()]),
            reason: Type.String(),
            errorCode: Type.Optional(Type.String()),
            errorMessage: Type.Optional(Type.String()),
          }),
          ...problems,
        },
      },
    },
    async (request) => {
      const { tenantId } = identityOf(request).scope
      const { key } = request.params
      const { targetingKey, attributes } = request.body
      const context: FlagContext = { ...attributes, targetingKey }
      const { variant = null, ...evaluation } = store.flags.evaluate(tenantId, key, context)
      if (evaluation.errorCode === 'FLAG_NOT_FOUND') throw notFound('flag', key)
      return { key, variant, ...evaluation }
    },
  )

  // Made when it is first needed.
  let waiters: RulesetWaiters | undefined
  app.addHook('preClose', async () => waiters?.close())
  app.get(
    '/v1/flag-ruleset',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary:
          'Fetch all flags of the tenant, those of the installation included, to evaluate them elsewhere',
        description:
          'With `If-None-Match` and `waitSeconds` the answer comes as soon as something has changed, or is 304 when the time is over.',
        querystring: Type.Object({
          waitSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 60, default: 0 })),
        }),
        headers: Type.Object({ 'if-none-match': Type.Optional(Type.String({ maxLength: 200 })) }),
        response: {
          200: Type.Object({
            revision: Type.Integer({ description: 'Grows with every change' }),
            flags: Type.Record(Type.String(), DefinitionBody),
          }),
          304: Type.Null({ description: 'It is still as the ETag says' }),
          ...problems,
        },
      },
    },
    async (request, reply) => {
      const { tenantId } = identityOf(request).scope
      const known = request.headers['if-none-match']
      const waitSeconds = request.query.waitSeconds ?? 0
      let ruleset = store.flags.ruleset(tenantId)
      // Another process has told the caller of something newer.
      if (known !== undefined && revisionOf(known) > ruleset.revision) {
        await Promise.all([store.flags.refresh(tenantId), store.flags.refresh()])
        ruleset = store.flags.ruleset(tenantId)
      }
      if (ruleset.etag === known && waitSeconds > 0) {
        waiters ??= new RulesetWaiters(store.flags)
        await waiters.wait(tenantId, waitSeconds * 1_000, untilAbandoned(reply))
        await requireStillKnown(request, store)
        ruleset = store.flags.ruleset(tenantId)
      }
      void reply.header('etag', ruleset.etag).header('cache-control', 'no-cache')
      if (ruleset.etag === known) return reply.code(304).send(null)
      const flags = Object.entries(ruleset.flags).map(
        ([key, flag]) => [key, presentDefinition(flag)] as const,
      )
      return { revision: ruleset.revision, flags: Object.fromEntries(flags) }
    },
  )
}

function revisionOf(etag: string): number {
  return Number(/^"(\d{1,15})-/.exec(etag)?.[1] ?? 0)
}

/** A key may have been revoked while its holder waited. */
async function requireStillKnown(request: FastifyRequest, store: Store): Promise<void> {
  if (await isStillKnown(request, store)) return
  throw new NomalyError('unauthenticated', 'The key was revoked, or the browser signed out.', {
    hint: 'Use another key.',
  })
}
