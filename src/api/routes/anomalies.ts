import { Type } from 'typebox'
import {
  ANOMALY_ACTIONS,
  ANOMALY_STATES,
  type Anomaly,
  type AnomalyAction,
  type AnomalyState,
} from '../../anomalies/anomaly.ts'
import { presentAnomaly, type PresentedAnomaly } from '../../anomalies/present-anomaly.ts'
import type { Severity } from '../../detection/finding.ts'
import { invalidField } from '../../errors.ts'
import type { Store } from '../../store/store.ts'
import type { Api } from '../api.ts'
import { identityOf } from '../plugins/authentication.ts'
import { repositoriesOf } from '../plugins/positions.ts'
import { idempotently } from '../plugins/idempotency.ts'
import { AnomalyBody } from '../schemas/anomalies.ts'
import {
  IdParams,
  Instant,
  PageQuery,
  pageOf,
  pageRequest,
  parseInstant,
  problems,
  Uuid,
} from '../schemas/shared.ts'

const SEVERITIES: readonly Severity[] = ['low', 'medium', 'high', 'critical']
const tags = ['anomalies']

/** Findings, and what people say of them. */
export function registerAnomalyRoutes(app: Api, store: Store): void {
  app.get(
    '/v1/anomalies',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'List anomalies, newest first',
        querystring: Type.Object({
          ...PageQuery,
          state: Type.Optional(
            Type.String({ maxLength: 100, description: `Some of ${ANOMALY_STATES.join(', ')}` }),
          ),
          severity: Type.Optional(
            Type.String({ maxLength: 100, description: `Some of ${SEVERITIES.join(', ')}` }),
          ),
          datasetId: Type.Optional(Uuid),
          jobId: Type.Optional(Uuid),
          seriesId: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_147_483_647 })),
          from: Type.Optional(Instant),
          to: Type.Optional(Instant),
        }),
        response: { 200: pageOf(AnomalyBody), ...problems },
      },
    },
    async (request) => {
      const { state, severity, from, to, datasetId, jobId, seriesId } = request.query
      const page = await repositoriesOf(request, store).anomalies.list(
        {
          states: parseChoices('state', state, ANOMALY_STATES) as AnomalyState[] | undefined,
          severities: parseChoices('severity', severity, SEVERITIES) as Severity[] | undefined,
          datasetId,
          jobId,
          seriesId,
          from: from === undefined ? undefined : new Date(parseInstant('from', from)),
          to: to === undefined ? undefined : new Date(parseInstant('to', to)),
        },
        pageRequest(request.query),
      )
      return { items: page.items.map(present), nextCursor: page.nextCursor }
    },
  )

  app.get(
    '/v1/anomalies/:id',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'Show an anomaly',
        params: IdParams,
        response: { 200: AnomalyBody, ...problems },
      },
    },
    async (request) => present(await repositoriesOf(request, store).anomalies.get(request.params.id)),
  )

  for (const action of Object.keys(ANOMALY_ACTIONS) as AnomalyAction[])
    app.post(
      `/v1/anomalies/:id/${action}`,
      {
        config: { permission: 'write' },
        schema: {
          tags,
          summary: `${action[0]!.toUpperCase()}${action.slice(1)} an anomaly`,
          params: IdParams,
          body: Type.Optional(
            Type.Object(
              { note: Type.Optional(Type.String({ maxLength: 5000 })) },
              { additionalProperties: false },
            ),
          ),
          response: { 200: AnomalyBody, ...problems },
        },
      },
      async (request, reply) => {
        const { actor } = identityOf(request)
        const { id } = request.params
        const note = (request.body as { note?: string } | null | undefined)?.note
        return idempotently(store, request, reply, async (unit) => {
          const anomaly = await unit.anomalies.act(id, action, actor, note)
          await unit.audit.record(actor, `anomaly.${action}`, { kind: 'anomaly', id })
          await unit.outbox.add('anomaly', { id, change: 'state' })
          return present(anomaly)
        })
      },
    )
}

function present(anomaly: Anomaly): Omit<PresentedAnomaly, 'tags'> & { tags: Record<string, string> } {
  return { ...presentAnomaly(anomaly), tags: { ...anomaly.tags } }
}

function parseChoices(
  field: string,
  text: string | undefined,
  choices: readonly string[],
): string[] | undefined {
  if (text === undefined) return undefined
  const chosen = text.split(',')
  if (chosen.some((choice) => !choices.includes(choice)))
    throw invalidField(field, `must be some of ${choices.join(', ')}, with commas between`)
  return chosen
}
