import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type CliResult, runCli } from './run-cli.ts'
import { eventually, startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { plantSeries } from '../erasure/eraser-fixture.ts'

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
