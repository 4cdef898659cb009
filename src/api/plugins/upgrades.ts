import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'

/**
 * Whether a request is taken for one that wants to become a WebSocket. Whoever offers another protocol on the way, as some clients do with
 * `Upgrade: h2c`, is answered as if it had not; a request taken for an upgrade would lose its body.
 */
export function isUpgrade({ method, url, headers }: IncomingMessage): boolean {
  return (
    method === 'GET' && /^\/v1\/events(?:\?|$)/.test(url ?? '') && /^websocket$/i.test(headers.upgrade ?? '')
  )
}

/** Closes the connections of upgrades that were refused, once they are answered: nobody reads from them any more, not even their end. */
export function closeRefusedUpgrades(app: FastifyInstance): void {
  app.addHook('onResponse', async ({ raw }) => {
    if ((raw as IncomingMessage & { upgrade?: boolean }).upgrade === true) raw.socket.destroySoon()
  })
}
