import pg from 'pg'
import { expect, test } from 'vitest'
import { HARMLESS_POSTS } from '../../src/api/plugins/idempotency.ts'
import { listAppRoutes } from '../api/app-routes.ts'
import { ROUTE_COVERAGE } from '../api/route-coverage.ts'
import { fillTenant } from '../api/tenant-fixture.ts'
import { startTestNomaly } from '../support/nomaly.ts'

test(
  'every POST takes an Idempotency-Key and keeps to it, unless it is listed as harmless',
  { timeout: 120_000 },
  async () => {
    await using nomaly = await startTestNomaly()
    const admin = new pg.Client({ connectionString: nomaly.database.adminUrl })
    await admin.connect()
    const things = await fillTenant(nomaly, admin, nomaly.tenant)
    await admin.end()
    const posts = (await listAppRoutes(nomaly)).filter(({ method }) => method === 'POST')
    expect(Object.keys(HARMLESS_POSTS).filter((path) => posts.every((post) => post.path !== path))).toEqual(
      [],
    )
    // As the state of a job and of an anomaly allows.
    const order = ['cancel', 'resume', 'pause', 'runs']
    const rank = (path: string): number => order.indexOf(path.split('/').at(-1)!)
    let kept = 0
    for (const { path, operation } of posts.toSorted((a, b) => rank(a.path) - rank(b.path))) {
      const isNamed = operation?.parameters?.some(({ name }) => name === 'idempotency-key') === true
      expect(isNamed, `the reference of POST ${path}`).toBe(!(path in HARMLESS_POSTS))
      if (path in HARMLESS_POSTS) continue
      const [call] = ROUTE_COVERAGE[`POST ${path}`]!.calls(things)
      const send = (body: unknown): ReturnType<typeof nomaly.request> =>
        nomaly.request('POST', call!.path, {
          ...(body === undefined ? {} : { body }),
          headers: { ...call!.headers, 'idempotency-key': `of ${path}`.replaceAll(' ', '-') },
        })
      const body = bodyFor(path, call!.body)
      const first = await send(body)
      if (first.status === 409) {
        // Its state does not allow it; that this is so is no answer that is kept.
        expect((await send(body)).headers.get('idempotency-replayed'), path).toBeNull()
        continue
      }
      expect(first.status, `POST ${path}: ${JSON.stringify(first.body)}`).toBeLessThan(300)
      expect(first.headers.get('idempotency-replayed'), path).toBeNull()
      const again = await send(body)
      expect([again.status, again.headers.get('idempotency-replayed')], path).toEqual([first.status, 'true'])
      expect(again.body, path).toEqual(first.body)
      kept += 1
    }
    expect(kept).toBeGreaterThanOrEqual(10)
  },
)

/** Names are unique. */
function bodyFor(path: string, body: unknown): unknown {
  return path === '/v1/flags' ? { ...(body as object), key: 'made-by-repeat' } : body
}
