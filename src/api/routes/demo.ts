import { Type } from 'typebox'
import type { Store } from '../../store/store.ts'
import { loadDemo } from '../../workflows/load-demo.ts'
import type { Api } from '../api.ts'
import { identityOf } from '../plugins/authentication.ts'
import { replyPosition } from '../plugins/positions.ts'
import { problems, Time } from '../schemas/shared.ts'

/** Four weeks of made-up business metrics with incidents in them. */
export function registerDemoRoutes(app: Api, store: Store): void {
  app.post(
    '/v1/demo',
    {
      config: { permission: 'write' },
      schema: {
        tags: ['demo'],
        summary: 'Load the demo; again, the same one is answered',
        response: {
          201: Type.Object({
            datasetId: Type.String(),
            jobId: Type.String(),
            incidents: Type.Array(
              Type.Object({
                metric: Type.String(),
                tags: Type.Record(Type.String(), Type.String()),
                from: Time,
                to: Time,
                what: Type.String(),
              }),
            ),
          }),
          ...problems,
        },
      },
    },
    async (request, reply) => {
      const { incidents, ...loaded } = await loadDemo(store, identityOf(request), Date.now())
      // It takes many transactions, in both databases.
      replyPosition(reply, await store.database.position())
      if (store.hasMetricsApart) replyPosition(reply, await store.metricsDatabase.position())
      return reply.code(201).send({
        ...loaded,
        incidents: incidents.map(({ metric, tags, fromMs, toMs, what }) => ({
          metric,
          tags: { ...tags },
          from: new Date(fromMs).toISOString(),
          to: new Date(toMs).toISOString(),
          what,
        })),
      })
    },
  )
}
