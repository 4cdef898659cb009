import type { ServerResponse } from 'node:http'

/**
 * Aborts when the caller goes away before it has its answer. Fastify's own `request.signal` cannot tell: it also aborts once a
 * body was read to its end (the `close` of `http.IncomingMessage`).
 */
export function untilAbandoned({ raw }: { readonly raw: ServerResponse }): AbortSignal {
  const controller = new AbortController()
  const check = (): void => {
    if (!raw.writableFinished) controller.abort()
  }
  if (raw.closed) check()
  else raw.once('close', check)
  return controller.signal
}
