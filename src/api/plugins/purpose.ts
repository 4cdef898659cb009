import { withPurpose } from '../../database/purpose.ts'
import type { Api } from '../api.ts'

/** Has what a request takes of the database count as the web's, and be named by its route. */
export function registerPurpose(app: Api): void {
  // As late as can be: what reads a body goes on from the events of the socket, which know nothing of the request.
  app.addHook('preHandler', (request, _reply, done) => {
    const label = `${request.method} ${request.routeOptions.url ?? 'none'}`
    withPurpose({ budget: 'web', label }, done)
  })
}
