import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { type CliResult, runCli } from './run-cli.ts'
import { eventually, startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { connectAdmin, dumpDatabase, plantSeries } from '../erasure/eraser-fixture.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
/** All of them in the scenarios. */
const KILLS = process.env['NOMALY_TEST_SCENARIOS'] === '1' ? 20 : 3

interface Desk {
  readonly nomaly: TestNomaly
  readonly env: Record<string, string>
  readonly folder: string
  run(...args: string[]): Promise<CliResult>
}

async function open(): Promise<Desk> {
  const nomaly = await startTestNomaly({ worker: false })
  onTestFinished(() => nomaly[Symbol.asyncDispose]())
  await eventually(async () => (await nomaly.request('GET', '/v1/datasets')).status === 200)
  const folder = await mkdtemp(join(tmpdir(), 'w-erase-cli-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const env = {
    DATABASE_URL: nomaly.databaseUrl,
    ADMIN_DATABASE_URL: nomaly.database.adminUrl,
    NOMALY_ERASURE_LEDGER: join(folder, 'erasures.ndjson'),
  }
  return { nomaly, env, folder, run: (...args) => runCli(args, { env }) }
}

test('counts, asks, erases, prints a receipt, and lists it', { timeout: 60_000 }, async () => {
  const { nomaly, env, run } = await open()
  const { series } = await plantSeries(nomaly.store, { tenantId: nomaly.tenant.tenantId }, 'd', {
    gone: [1, 2, 3],
    kept: [4],
  })
  const id = String(series.get('gone'))
  const counted = await run('erase', '--series', id, '--dry-run', '-o', 'json')
  expect(JSON.parse(counted.out).counts).toEqual({ series: 1, points: 3 })
  expect((await run('erase', '--series', id, '--dry-run')).out).toMatch(/points +3/)
  const asked = await run('erase', '--series', id)
  expect(asked).toMatchObject({ code: 1, out: '' })
  expect(asked.err).toContain('Add --yes.')
  expect((await run('erase', '--list')).out).toContain('Nothing was ever erased here.')

  const erased = await run('erase', '--series', id, '--yes')
  expect(erased).toMatchObject({ code: 0 })
  expect(erased.out).toMatch(/Receipt .*: series/)
  expect(erased.out).toMatch(/points +3/)
  expect(erased.out).toContain('hold it until you remove them')
  const [entry] = JSON.parse((await run('erase', '--list', '-o', 'json')).out)
  expect(entry).toMatchObject({ subject: { kind: 'series' }, receipt: { removed: { points: 3 } } })
  expect(await readFile(env['NOMALY_ERASURE_LEDGER']!, 'utf8')).toContain(entry.id)
  const again = await run('erase', '--series', id, '--yes')
  expect(again).toMatchObject({ code: 1, out: '' })
  expect(again.err).toContain(`There is no series ${id}.`)
  expect((await run('erase', '--resume')).out).toBe('Nothing was interrupted.\n')
})

test.each([[['erase']], [['erase', '--series', '1', '--list']], [['erase', '--series', '1', '--user', 'a']]])(
  'wishes that cannot be told apart are refused: %j',
  async (args) => {
    const { code, err } = await runCli(args)
    expect(code).toBeOneOf([1, 2])
    expect(err).toContain('Say what to erase.')
  },
)

test('a person is given what is kept of them, without secrets', { timeout: 60_000 }, async () => {
  const { nomaly, folder, run } = await open()
  const { key, id } = (await nomaly.request('POST', '/v1/keys', { body: { name: 'alice', role: 'admin' } }))
    .body
  for (let index = 0; index < 3; index++)
    await nomaly.request('POST', '/v1/datasets', { key, body: { name: `set-${index}` } })
  const { body } = await nomaly.request('POST', '/v1/sign-in-links', { key })
  await nomaly.request('GET', body.path, { key: '' })
  const { code, out, err } = await run('export', '--user', 'alice')
  expect({ code, err }).toEqual({ code: 0, err: '' })
  const given = JSON.parse(out)
  expect(given).toMatchObject({
    person: 'alice',
    keys: [{ id, name: 'alice', role: 'admin', tenantId: nomaly.tenant.tenantId }],
    sessions: [{ keyId: id, device: expect.any(String) }],
    requests: [],
  })
  expect(given.auditEntries.map(({ action }: { action: string }) => action)).toEqual(
    expect.arrayContaining(['key.create', 'dataset.create', 'browser.sign-in']),
  )
  expect(out).not.toContain(key)
  expect(out).not.toMatch(/hash/i)

  const file = join(folder, 'alice.json')
  expect(await run('export', '--user', 'alice', '--tenant', 'default', '-o', file)).toMatchObject({
    code: 0,
    out: '',
  })
  expect(JSON.parse(await readFile(file, 'utf8')).keys).toEqual(given.keys)
  const unknown = await run('export', '--user', 'nobody', '-o', join(folder, 'none.json'))
  expect(unknown.err).toContain('Nothing is kept of "nobody".')
  await expect(stat(join(folder, 'none.json'))).rejects.toMatchObject({ code: 'ENOENT' })
  expect((await run('export')).err).toContain('Say what to export.')
})

test(
  `killed ${KILLS} times at random moments, it is gone on with until all is done`,
  { timeout: 600_000 },
  async () => {
    const { nomaly, env, run } = await open()
    const admin = await connectAdmin(nomaly.database.adminUrl)
    const metrics = Object.fromEntries(
      Array.from({ length: 40 }, (_, index) => [
        `magpie-${index}`,
        Array.from({ length: 500 }, (_value, at) => at),
      ]),
    )
    for (let kills = 0, round = 0; kills < KILLS; round++) {
      const name = `magpie-${round}`
      const { id: tenantId } = await nomaly.store.tenants.create(name)
      for (const dataset of ['a', 'b', 'c']) await plantSeries(nomaly.store, { tenantId }, dataset, metrics)
      const child = spawn(process.execPath, [MAIN, 'erase', '--tenant', name, '--yes'], {
        env: { PATH: process.env['PATH'], NOMALY_DATA_DIR: '/nonexistent/nomaly', ...env },
        stdio: 'ignore',
      })
      const ended = once(child, 'exit') as Promise<[number | null]>
      const wasEarly = await Promise.race([ended, sleep(300 + Math.random() * 2_500)])
      child.kill('SIGKILL')
      await ended
      if (wasEarly === undefined) kills++
      // What was killed before it had written down what it was to do has done nothing.
      const resumed = await run('erase', '--resume', '-o', 'json')
      expect(resumed, resumed.err).toMatchObject({ code: 0 })
      const { rowCount } = await admin.query('select from nomaly.tenants where id = $1', [tenantId])
      const { rows } = await admin.query<{ series: number; points: number }>(
        `select (select count(*)::int from metrics.series where tenant_id = $1) as series,
         (select count(*)::int from metrics.points_forever p where not exists (select from metrics.series s where s.id = p.series_id)) as points`,
        [tenantId],
      )
      if (rowCount === 1) {
        expect(rows[0]).toEqual({ series: 120, points: 0 })
        expect(await run('erase', '--tenant', name, '--yes')).toMatchObject({ code: 0 })
      } else expect(rows[0]).toEqual({ series: 0, points: 0 })
    }
    expect(await dumpDatabase(admin)).not.toContain('magpie')
    expect((await run('erase', '--resume')).out).toBe('Nothing was interrupted.\n')
  },
)
