import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { runCli } from './run-cli.ts'

let nomaly: TestNomaly

beforeAll(async () => {
  nomaly = await startTestNomaly({ worker: false })
})

afterAll(() => nomaly[Symbol.asyncDispose]())

async function said(key: string, ...args: string[]): Promise<string> {
  const { code, out, err } = await runCli(args, { env: { NOMALY_URL: nomaly.url, NOMALY_API_KEY: key } })
  expect({ args, code, err }).toEqual({ args, code: 0, err: '' })
  return out
}

/** Signs a browser in with a key; answers the status that it gets. */
async function signIn(key: string): Promise<() => Promise<number>> {
  const { body } = await nomaly.request('POST', '/v1/sign-in-links', { key })
  const { headers } = await nomaly.request('GET', body.path, { key: '' })
  const cookie = headers.getSetCookie()[0]!.split(';')[0]!
  return async () => (await nomaly.request('GET', '/v1/me', { key: '', headers: { cookie } })).status
}

test('browsers are listed and signed out: one, those of a key, those of the tenant', async () => {
  const mine = nomaly.tenant.key
  const other = await nomaly.createKey(nomaly.tenant.tenantId, 'admin')
  expect(await said(mine, 'sessions', 'list')).toContain('No browser is signed in.')
  const [first, second, apart] = [await signIn(mine), await signIn(mine), await signIn(other)]
  const listed = JSON.parse(await said(mine, 'sessions', 'list', '--output', 'json'))
  expect(listed).toHaveLength(2)
  expect(JSON.parse(await said(mine, 'sessions', 'list', '--all', '--output', 'json'))).toHaveLength(3)
  expect(await said(mine, 'sessions', 'list')).toMatch(/Device .*Role .*Key .*Signed in .*Last seen .*Id/)

  await said(mine, 'sessions', 'revoke', listed[1].id, '--yes')
  expect([await first(), await second(), await apart()]).toEqual([401, 200, 200])
  const gone = await runCli(['sessions', 'revoke', listed[1].id, '--yes'], {
    env: { NOMALY_URL: nomaly.url, NOMALY_API_KEY: mine },
  })
  expect([gone.code === 0, gone.err]).toEqual([false, expect.stringContaining('There is no session')])
  await said(mine, 'sessions', 'revoke-all', '--yes')
  expect([await second(), await apart()]).toEqual([401, 200])
  await said(mine, 'sessions', 'revoke-all', '--all', '--yes')
  expect(await apart()).toBe(401)
})
