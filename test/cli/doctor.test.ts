import { afterAll, beforeAll, expect, it } from 'vitest'
import { createMigratedDatabase } from '../support/nomaly.ts'
import type { TestDatabase } from '../support/postgres.ts'
import { runCli, type CliResult } from './run-cli.ts'

let database: TestDatabase

beforeAll(async () => {
  ;({ database } = await createMigratedDatabase())
})

afterAll(() => database?.drop())

function doctor(...args: string[]): Promise<CliResult> {
  return runCli(['doctor', ...args], { env: { DATABASE_URL: database.adminUrl } })
}

it('says what it has looked at, and what to do about what fails', async () => {
  // The server of the tests is not durable.
  const { code, out, err } = await doctor('reach', 'migrations', 'durability')
  expect({ code, err }).toEqual({ code: 1, err: '' })
  expect(out).toMatch(/^ok {4}reach +database +It answers within \d+ ms\.$/m)
  expect(out).toMatch(
    /^FAIL {2}durability +database +fsync is off\.\n +A loss of power.*\n(.*\n)* +→ Run `alter system reset fsync`/m,
  )
  expect(out).toMatch(/\n3 fail, 2 ok\n$/)
})

it('exits with 0 where nothing fails, with 1 for warnings only when it is strict', async () => {
  expect(await doctor('migrations')).toMatchObject({
    code: 0,
    out: expect.stringContaining('All is well: 1 check.'),
  })
  const enough = ['connections', '--processes', '1000']
  expect((await doctor(...enough)).code).toBe(1)
  const warns = { DATABASE_URL: database.adminUrl, PGOPTIONS: '-c timezone=Europe/Berlin' }
  const warned = await runCli(['doctor', 'text-and-time'], { env: warns })
  expect(warned).toMatchObject({ code: 0, out: expect.stringContaining('1 warning, 0 ok') })
  expect((await runCli(['doctor', 'text-and-time', '--strict'], { env: warns })).code).toBe(1)
})

it('prints JSON for programs', async () => {
  const { out } = await doctor('durability', 'migrations', '-o', 'json')
  expect(JSON.parse(out)).toMatchObject({
    verdict: 'fail',
    checks: [
      { check: 'migrations', subject: 'database', verdict: 'ok' },
      {
        check: 'durability',
        verdict: 'fail',
        says: expect.any(String),
        means: expect.any(String),
        todo: expect.any(String),
      },
      { check: 'durability' },
      { check: 'durability' },
    ],
  })
  const lines = (await doctor('durability', 'migrations', '-o', 'ndjson')).out.trim().split('\n')
  expect(lines.map((line) => JSON.parse(line).check)).toEqual(['migrations', ...Array(3).fill('durability')])
})

it('refuses a check that there is not, and shows no password', async () => {
  const unknown = await doctor('everything')
  expect(unknown).toMatchObject({ code: 1, err: expect.stringContaining('log-privacy') })
  const away = await runCli(['doctor'], {
    env: { DATABASE_URL: 'postgresql://nomaly:very-secret@127.0.0.1:1/x' },
  })
  expect(away.code).toBe(1)
  expect(away.out).toMatch(/^FAIL {2}reach +database +It does not answer/)
  expect(away.out + away.err).not.toContain('very-secret')
})
