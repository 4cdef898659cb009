import { existsSync } from 'node:fs'
import { join } from 'node:path'
import staticFiles from '@fastify/static'
import type { Api } from '../api.ts'
import { NomalyError } from '../../errors.ts'
import { sendProblem } from './problem-details.ts'

/** Serves the built dashboard: its files as they are, and its page at every other path that a person may open. */
export async function registerDashboard(app: Api, directory: string): Promise<void> {
  const isBuilt = existsSync(join(directory, 'index.html'))
  if (isBuilt)
    await app.register(staticFiles, {
      root: directory,
      wildcard: false,
      index: false,
      cacheControl: false,
      setHeaders: (response, path) => {
        // Assets carry a hash in their name; the page that names them must be fresh.
        void response.header(
          'cache-control',
          path.includes('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
        )
      },
    })
  app.get('/*', { config: { permission: 'public' }, schema: { hide: true } }, async (request, reply) => {
    const path = request.url.split('?')[0]!
    const isPage = !/\.[a-z0-9]+$/i.test(path) && !path.startsWith('/v1/')
    if (isPage && isBuilt) return reply.header('cache-control', 'no-cache').sendFile('index.html')
    const hint = isPage
      ? 'The dashboard is not built: run `npm run build:dashboard`.'
      : 'The reference of all routes is at /docs.'
    return sendProblem(
      request,
      reply,
      new NomalyError('not_found', `There is nothing at ${path.slice(0, 200)}.`, { hint }),
    )
  })
}
