import { expect, it } from 'vitest'
import { findServer } from '../support/postgres.ts'
import { runCli } from './run-cli.ts'

const SIZE = ['--memory', '16GB', '--cpus', '4']

it('prints lines of postgresql.conf for a server of your own', async () => {
  const { code, out, err } = await runCli(['tune', '--role', 'primary', ...SIZE])
  expect({ code, err }).toEqual({ code: 0, err: '' })
  expect(out).toContain('# For PostgreSQL 15 or newer as primary, with 16 GB of memory and 4 processors')
  expect(out).toMatch(/^shared_buffers = 4096MB +# a quarter of memory/m)
  expect(out).toMatch(/^log_statement = none +#/m)
  expect(out).not.toContain('hot_standby_feedback')
})

it('prints statements, and says how a running server differs', async () => {
  const { code, out, err } = await runCli(['tune', '--as', 'sql', '--role', 'replica', ...SIZE], {
    env: { DATABASE_URL: await findServer() },
  })
  expect(code).toBe(0)
  expect(out).toMatch(/^alter system set shared_buffers = '4096MB';$/m)
  expect(out).toMatch(/select pg_reload_conf\(\);\n$/)
  expect(err).toMatch(/^\d+ settings of the server are different; a restart is needed for .*shared_buffers/)
})

it('shows every setting with the value of the decision, that of the server, and why', async () => {
  const env = { DATABASE_URL: await findServer() }
  const { out } = await runCli(['tune', '--show', ...SIZE], { env })
  expect(out).toMatch(/^Setting +ADR-015 +Ours +Now +Why$/m)
  expect(out).toMatch(/^log_statement +all +none +none +refused: it writes/m)
  const shown = await runCli(['tune', '--show', '-o', 'json', ...SIZE], { env })
  const { settings } = JSON.parse(shown.out) as { settings: { name: string; decided: string | null }[] }
  expect(settings.filter(({ decided }) => decided !== null)).toHaveLength(11)
})

it('goes without a server that does not answer, and says so', async () => {
  const { code, out, err } = await runCli(['tune', ...SIZE], {
    env: { DATABASE_URL: 'postgresql://postgres:secret-of-mine@127.0.0.1:1/x' },
  })
  expect(code).toBe(0)
  expect(out).toContain('max_connections = ')
  expect(err).toMatch(/^What the server has now is not known: .*ECONNREFUSED/)
  expect(out + err).not.toContain('secret-of-mine')
})

it('refuses what it cannot read, and a folder without a database', async () => {
  expect(await runCli(['tune', '--role', 'primary', '--memory', 'much'])).toMatchObject({ code: 1 })
  expect(await runCli(['tune', '--cpus', '0'])).toMatchObject({ code: 2 })
  const missing = await runCli(['tune'])
  expect(missing).toMatchObject({ code: 1, err: expect.stringContaining('nomaly start') })
})
