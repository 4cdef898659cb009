import { Type } from 'typebox'
import { ALGORITHMS, validateDetectorSettings } from '../../detection/algorithms.ts'
import type { Detector } from '../../detectors/detector.ts'
import type { Store } from '../../store/store.ts'
import type { Api } from '../api.ts'
import { identityOf } from '../plugins/authentication.ts'
import { idempotently } from '../plugins/idempotency.ts'
import { replyPosition, repositoriesOf } from '../plugins/positions.ts'
import {
  AlgorithmName,
  Budget,
  DetectorBody,
  DetectorSettingsBody,
  Parameters,
} from '../schemas/detectors.ts'
import { IdParams, PageQuery, pageOf, pageRequest, problems } from '../schemas/shared.ts'

const tags = ['detectors']
const Name = Type.String({ minLength: 1, maxLength: 200 })

/** The catalogue of algorithms, and detectors: algorithms with their settings. */
export function registerDetectorRoutes(app: Api, store: Store): void {
  app.get(
    '/v1/algorithms',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'List the algorithms and their parameters',
        response: {
          200: Type.Object({
            items: Type.Array(
              Type.Object({
                name: AlgorithmName,
                title: Type.String(),
                description: Type.String(),
                parameters: Type.Array(
                  Type.Object({
                    name: Type.String(),
                    default: Type.Number(),
                    minimum: Type.Number(),
                    maximum: Type.Number(),
                    integer: Type.Boolean(),
                    description: Type.String(),
                  }),
                ),
              }),
            ),
          }),
          ...problems,
        },
      },
    },
    async () => ({
      items: ALGORITHMS.map(({ parameters, ...rest }) => ({ ...rest, parameters: [...parameters] })),
    }),
  )

  app.get(
    '/v1/detectors',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'List detectors by name',
        querystring: Type.Object(PageQuery),
        response: { 200: pageOf(DetectorBody), ...problems },
      },
    },
    async (request) => {
      const page = await repositoriesOf(request, store).detectors.list(pageRequest(request.query))
      return { items: page.items.map(presentDetector), nextCursor: page.nextCursor }
    },
  )

  app.post(
    '/v1/detectors',
    {
      config: { permission: 'write' },
      schema: {
        tags,
        summary: 'Make a detector',
        body: Type.Object({ name: Name, ...DetectorSettingsBody }, { additionalProperties: false }),
        response: { 201: DetectorBody, ...problems },
      },
    },
    async (request, reply) => {
      const { actor } = identityOf(request)
      const { name, ...input } = request.body
      const settings = validateDetectorSettings(input)
      return idempotently(store, request, reply.code(201), async (unit) => {
        const detector = await unit.detectors.create(name, settings)
        await unit.audit.record(actor, 'detector.create', { kind: 'detector', id: detector.id }, { name })
        return presentDetector(detector)
      })
    },
  )

  app.get(
    '/v1/detectors/:id',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'Show a detector',
        params: IdParams,
        response: { 200: DetectorBody, ...problems },
      },
    },
    async (request) => presentDetector(await repositoriesOf(request, store).detectors.get(request.params.id)),
  )

  app.patch(
    '/v1/detectors/:id',
    {
      config: { permission: 'write' },
      schema: {
        tags,
        summary: 'Change a detector',
        description: 'Jobs that use it learn each series anew under the new settings.',
        params: IdParams,
        body: Type.Object(
          {
            name: Type.Optional(Name),
            algorithm: Type.Optional(AlgorithmName),
            parameters: Type.Optional(Parameters),
            budget: Type.Optional(Budget),
          },
          { additionalProperties: false, minProperties: 1 },
        ),
        response: { 200: DetectorBody, ...problems },
      },
    },
    async (request, reply) => {
      const { scope, actor } = identityOf(request)
      const { name, ...change } = request.body
      const { value, position } = await store.transaction(scope, async (unit) => {
        const { algorithm, parameters, budget } = await unit.detectors.get(request.params.id)
        const detector = await unit.detectors.update(request.params.id, {
          ...(name === undefined ? {} : { name }),
          settings: validateDetectorSettings({ algorithm, parameters, budget, ...change }),
        })
        await unit.audit.record(actor, 'detector.update', { kind: 'detector', id: detector.id }, request.body)
        return detector
      })
      replyPosition(reply, position)
      return presentDetector(value)
    },
  )

  app.delete(
    '/v1/detectors/:id',
    {
      config: { permission: 'write' },
      schema: {
        tags,
        summary: 'Delete a detector',
        params: IdParams,
        response: { 204: Type.Null(), ...problems },
      },
    },
    async (request, reply) => {
      const { scope, actor } = identityOf(request)
      const { id } = request.params
      const { position } = await store.transaction(scope, async (unit) => {
        await unit.detectors.remove(id)
        await unit.audit.record(actor, 'detector.delete', { kind: 'detector', id })
      })
      replyPosition(reply, position)
      return reply.code(204).send(null)
    },
  )
}

/** The form of a detector that leaves the process. */
// eslint-disable-next-line typescript/explicit-function-return-type -- the type is that of the literal
export function presentDetector(detector: Detector) {
  return {
    id: detector.id,
    name: detector.name,
    algorithm: detector.algorithm,
    parameters: { ...detector.parameters },
    budget: { ...detector.budget },
    createdAt: detector.createdAt.toISOString(),
  }
}
