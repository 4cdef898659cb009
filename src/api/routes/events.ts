import websocket from '@fastify/websocket'
import { Type } from 'typebox'
import type { Config } from '../../config/profiles.ts'
import { NomalyError } from '../../errors.ts'
import type { Store } from '../../store/store.ts'
import type { ProcessMetrics } from '../../telemetry/process-metrics.ts'
import type { Api } from '../api.ts'
import { EventHub } from '../events/event-hub.ts'
import { SseSink } from '../events/sse-sink.ts'
import { WebSocketSink } from '../events/websocket-sink.ts'
import { identityOf, isStillKnown } from '../plugins/authentication.ts'
import { requireOwnOrigin } from '../plugins/own-origin.ts'
import { problems } from '../schemas/shared.ts'

/** Nothing is expected of a listener. */
const MAX_MESSAGE_BYTES = 4_096

const LastEventId = Type.Optional(Type.String({ maxLength: 20 }))

/** What happens, as it happens: as server-sent events (WHATWG HTML 9.2), or over a WebSocket (RFC 6455). */
export async function registerEventRoutes(
  app: Api,
  store: Store,
  config: Config,
  metrics: ProcessMetrics,
): Promise<void> {
  const hub = new EventHub({
    store,
    limits: config,
    metrics,
    log: (fields, message) => app.log.info(fields, message),
  })
  // Before the plugin's own, which closes without saying why.
  app.addHook('preClose', async () => hub.stop())
  await app.register(websocket, {
    options: { maxPayload: MAX_MESSAGE_BYTES, perMessageDeflate: false },
    errorHandler: (error, socket, request) => {
      request.log.debug({ err: error }, 'a WebSocket failed')
      if (error instanceof NomalyError) socket.close(1013, error.message.slice(0, 120))
      else socket.terminate()
    },
  })

  app.route({
    method: 'GET',
    url: '/v1/events',
    config: { permission: 'read' },
    schema: {
      tags: ['events'],
      summary: 'Hear of anomalies, jobs, runs, datasets and points as they change',
      description:
        'text/event-stream, or, with `Upgrade: websocket`, one JSON message {id, event, data} for each event. Data carries ids only. `Last-Event-ID`, or `lastEventId` in the query where a header cannot be sent, continues where a connection broke.',
      headers: Type.Object({ 'last-event-id': LastEventId }),
      querystring: Type.Object({ lastEventId: LastEventId }),
      response: {
        200: {
          description: 'Events, without end',
          content: { 'text/event-stream': { schema: Type.String() } },
        },
        ...problems,
      },
    },
    preHandler: async (request) => {
      // A page of another site may open a WebSocket, and the cookie comes along.
      if (request.ws && identityOf(request).session !== undefined) requireOwnOrigin(request)
      hub.requireRoom(identityOf(request).scope)
    },
    wsHandler: async (socket, request) => {
      const { lastEventId } = request.query
      await hub.listen(
        {
          scope: identityOf(request).scope,
          lastEventId: lastEventId ?? lastEventIdOf(request.headers),
          isStillKnown: () => isStillKnown(request, store),
        },
        () => {
          if (socket.readyState !== socket.OPEN) return undefined
          return {
            sink: new WebSocketSink(socket, request.raw.socket),
            onClose: (listener) => socket.once('close', listener),
          }
        },
      )
    },
    handler: async (request, reply) => {
      await hub.listen(
        {
          scope: identityOf(request).scope,
          // The header is the newer one: a browser that connects again sends both.
          lastEventId: lastEventIdOf(request.headers) ?? request.query.lastEventId,
          isStillKnown: () => isStillKnown(request, store),
        },
        () => {
          reply.hijack()
          // The caller may have gone while the database was asked: its `close` will not come again.
          if (reply.raw.destroyed) return undefined
          return {
            sink: new SseSink(reply.raw),
            onClose: (listener) => reply.raw.once('close', listener),
          }
        },
      )
    },
  })
}

function lastEventIdOf(headers: object): string | undefined {
  return (headers as { 'last-event-id'?: string })['last-event-id']
}
