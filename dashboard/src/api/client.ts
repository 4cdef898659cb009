import createClient from 'openapi-fetch'
import { patientFetch } from './patient-fetch.ts'
import { problemFromBody } from './problem.ts'
import type { paths } from './schema.d.ts'

/** The typed client of the HTTP API; the browser's cookie signs every request. */
export const api = createClient<paths>({
  baseUrl: '/',
  credentials: 'same-origin',
  fetch: (request) => patientFetch(request),
})

/** Resolves to the body of a success and throws an `ApiProblem` otherwise. */
export async function answer<Body>(
  request: Promise<{ data?: Body; error?: unknown; response: Response }>,
): Promise<Body> {
  const { data, error, response } = await request
  if (!response.ok) throw problemFromBody(response.status, error)
  return data as Body
}

/** Reads every page of a list, up to `most` items. */
export async function allPages<One>(
  read: (cursor: string | undefined) => Promise<{ items: One[]; nextCursor: string | null }>,
  most = 2000,
): Promise<One[]> {
  const items: One[] = []
  let cursor: string | undefined
  do {
    const page = await read(cursor)
    items.push(...page.items)
    cursor = page.nextCursor ?? undefined
  } while (cursor !== undefined && items.length < most)
  return items
}
