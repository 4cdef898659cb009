import type { FastifyRequest } from 'fastify'
import { NomalyError } from '../../errors.ts'

/** A cookie comes along wherever a request comes from. @throws NomalyError `forbidden` for one that does not come from our own page. */
export function requireOwnOrigin(request: FastifyRequest): void {
  const site = request.headers['sec-fetch-site']
  const { origin } = request.headers
  const isOwn = origin !== undefined && URL.canParse(origin) && new URL(origin).host === request.headers.host
  if (site === 'same-origin' || (site === undefined && isOwn)) return
  throw new NomalyError('forbidden', 'The request comes from another site.', {
    hint: 'Programs use an API key instead of a browser cookie.',
  })
}
