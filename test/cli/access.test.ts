import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { urlForLogin } from '../../src/operations/connection-urls.ts'
import { startTestNomaly, type TestNomaly, type TestTenant } from '../support/nomaly.ts'
import { type CliResult, runCli } from './run-cli.ts'

const INSERT = `insert into anomaly_metrics (time, job_id, metric_name, metric_value, tags) values ($1, $2, $3, $4, $5)`
const run = randomUUID().slice(0, 8)
const named = (name: string): string => `t${run}_${name}`

let nomaly: TestNomaly
let beta: TestTenant
let admin: pg.Client
const clients: pg.Client[] = []

beforeAll(async () => {
  nomaly = await startTestNomaly({ worker: false })
  beta = await nomaly.createTenant('beta')
  admin = new pg.Client({ connectionString: nomaly.database.adminUrl })
  await admin.connect()
})

afterAll(async () => {
  for (const client of clients) await client.end().catch(() => {})
  const { rows } = await admin.query<{ name: string }>(
    'select rolname as name from pg_roles where starts_with(rolname, $1)',
    [`t${run}_`],
  )
  for (const { name } of rows) await admin.query(`drop owned by ${name}; drop role ${name}`)
  await admin.end()
  await nomaly[Symbol.asyncDispose]()
})

function access(args: readonly string[], env: Record<string, string> = {}): Promise<CliResult> {
  return runCli(['access', ...args], {
    env: { DATABASE_URL: nomaly.databaseUrl, ADMIN_DATABASE_URL: nomaly.database.adminUrl, ...env },
  })
}

async function granted(...args: string[]): Promise<pg.Client> {
  const { code, out, err } = await access(['grant-sql', ...args, '-o', 'json'])
  expect({ code, err }).toEqual({ code: 0, err: '' })
  return connected(JSON.parse(out).url)
}

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  clients.push(client)
  return client
}

async function rolesNamed(name: string): Promise<number> {
  return (await admin.query('select from pg_roles where rolname = $1', [name])).rowCount!
}

describe('nomaly access', () => {
  test('makes logins that see, and write, what belongs to their tenant, and nothing else', async () => {
    const writer = await granted(named('writer'), '--tenant', 'beta', '--insert')
    const reader = await granted(named('reader'), '--tenant', 'beta', '--connections', '1')
    const other = await granted(named('other'), '--tenant', 'default', '--insert')
    const job = randomUUID()
    await writer.query(INSERT, [new Date(), job, 'score', 0.5, { host: 'web-1' }])
    await other.query(INSERT, [new Date(), randomUUID(), 'score', 99, null])
    const read = 'select metric_value from anomaly_metrics'
    expect((await reader.query(read)).rows).toEqual([{ metric_value: 0.5 }])
    expect((await other.query(read)).rows).toEqual([{ metric_value: 99 }])
    await expect(reader.query('create temp table t (n int)')).rejects.toMatchObject({ code: '25006' })
    await reader.query('set default_transaction_read_only = off')
    await expect(reader.query(INSERT, [new Date(), job, 'score', 1, null])).rejects.toMatchObject({
      code: '42501',
    })
    const { rows } = await reader.query(
      `select current_setting('statement_timeout') as timeout, current_setting('search_path') as path`,
    )
    expect(rows).toEqual([{ timeout: '1min', path: 'metrics, public' }])
    const second = access(['list-sql'])
    expect((await second).out).toMatch(new RegExp(`${named('reader')} +beta +read +1 `))
    expect((await second).out).toMatch(new RegExp(`${named('writer')} +beta +read and insert +1 `))
  })

  test('whatever a login sets, asks for or becomes, it is kept to its tenant', async () => {
    const mine = await granted(named('curious'), '--tenant', 'beta', '--insert')
    await mine.query(`set nomaly.tenant_id = '${nomaly.tenant.tenantId}'`)
    await mine.query('set statement_timeout = 0')
    const { rows: tables } = await admin.query<{ name: string }>(
      `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.nspname in ('nomaly', 'metrics', 'pgboss') and c.relkind in ('r', 'p', 'v', 'm', 'S')
         and format('%I.%I', n.nspname, c.relname) <> 'metrics.anomaly_metrics'`,
    )
    expect(tables.length).toBeGreaterThan(30)
    for (const { name } of tables)
      for (const statement of [`select from ${name}`, `delete from ${name}`])
        await expect(mine.query(statement), statement).rejects.toMatchObject({ code: /42501|42809/ })
    for (const role of ['nomaly_owner', 'nomaly_app', 'nomaly_system', named('writer'), 'postgres'])
      for (const verb of ['set role', 'set session authorization'])
        await expect(mine.query(`${verb} ${role}`), role).rejects.toMatchObject({ code: '42501' })
    for (const statement of [
      'create role another',
      'create table metrics.mine (n int)',
      `alter role ${named('curious')} superuser`,
      'select metrics.note_engine_change()',
      'select metrics.lock_engine()',
      `insert into metrics.logins values ('${named('curious')}', '${nomaly.tenant.tenantId}')`,
    ])
      await expect(mine.query(statement), statement).rejects.toMatchObject({ code: /42501|0A000/ })
    // Functions that all may call answer about oneself.
    expect((await mine.query('select metrics.login_tenant() as tenant')).rows).toEqual([
      { tenant: beta.tenantId },
    ])
  })

  test('takes a login away at once, sessions and all', async () => {
    const name = named('leaver')
    const mine = await granted(name, '--tenant', 'beta', '--insert')
    const ended = new Promise((resolve) => mine.once('end', resolve))
    await mine.query('begin')
    await mine.query(INSERT, [new Date(), randomUUID(), 'unfinished', 1, null])
    const { code, out, err } = await access(['revoke-sql', name, '--yes'])
    expect({ code, out, err }).toEqual({ code: 0, out: `The login ${name} is gone.\n`, err: '' })
    await ended
    expect(await rolesNamed(name)).toBe(0)
    expect((await admin.query('select from metrics.logins where login = $1', [name])).rowCount).toBe(0)
    const again = await access(['revoke-sql', name, '--yes'])
    expect(again).toMatchObject({ code: 1, err: expect.stringContaining(`There is no login "${name}"`) })
    const audit = await nomaly.request('GET', '/v1/audit', { key: beta.key })
    expect(audit.body.items.slice(0, 2)).toMatchObject([
      { action: 'sql.revoke', subjectKind: 'login', subjectId: name },
      { action: 'sql.grant', subjectKind: 'login', subjectId: name },
    ])
  })

  test('the password is in the address and nowhere else', async () => {
    const { out } = await access(['grant-sql', named('secret'), '--tenant', 'beta'])
    const url = /postgres\S+/.exec(out)![0]
    const { password } = new URL(url)
    expect(password.length).toBe(32)
    const { rows } = await admin.query('select rolpassword as kept from pg_authid where rolname = $1', [
      named('secret'),
    ])
    expect(rows[0].kept).toMatch(/^SCRAM-SHA-256\$4096:/)
    await expect(connected(url.replace(password, 'x'.repeat(32)))).rejects.toMatchObject({ code: '28P01' })
    await connected(url)
  })

  test('says in plain words what is wrong', async () => {
    const wrong: [string[], string][] = [
      [['grant-sql', named('no'), '--tenant', 'nobody'], 'There is no tenant "nobody"'],
      [['grant-sql', 'nomaly_app', '--tenant', 'beta'], 'name: must be 1 to 63'],
      [['grant-sql', 'pg_read_all_data', '--tenant', 'beta'], 'name: must be 1 to 63'],
      [['grant-sql', 'x"; drop table', '--tenant', 'beta'], 'name: must be 1 to 63'],
      [['revoke-sql', 'postgres', '--yes'], 'There is no login "postgres"'],
      [['revoke-sql', named('no')], 'Add --yes'],
    ]
    for (const [args, message] of wrong) {
      const { code, err } = await access(args)
      expect({ args, code }).toEqual({ args, code: 1 })
      expect(err).toContain(message)
    }
    await granted(named('twice'), '--tenant', 'beta')
    const twice = await access(['grant-sql', named('twice'), '--tenant', 'default'])
    expect(twice.err).toContain(`There is a role "${named('twice')}" on this server already.`)
    const poor = await access(['grant-sql', named('poor'), '--tenant', 'beta'], {
      ADMIN_DATABASE_URL: nomaly.databaseUrl,
    })
    expect(poor).toMatchObject({ code: 1, out: '' })
    expect(poor.err).toContain('lacks a right')
    expect(poor.err).toContain('ADMIN_DATABASE_URL')
    expect(await rolesNamed(named('poor'))).toBe(0)
  })

  test('an administrator who is no superuser can make, list and take back logins', async () => {
    const name = named('manager')
    await admin.query(`create role ${name} login createrole password 'x'`)
    await admin.query(`grant nomaly_owner, nomaly_app, nomaly_system to ${name}`)
    const database = admin.escapeIdentifier(nomaly.database.name)
    await admin.query(`grant all on database ${database} to ${name} with grant option`)
    const env = { ADMIN_DATABASE_URL: urlForLogin(nomaly.database.adminUrl, name, 'x') }
    const made = await access(['grant-sql', named('managed'), '--tenant', 'beta', '-o', 'json'], env)
    expect(made).toMatchObject({ code: 0, err: '' })
    const mine = await connected(JSON.parse(made.out).url)
    expect((await mine.query('select from anomaly_metrics')).rowCount).toBeGreaterThanOrEqual(0)
    expect((await access(['list-sql'], env)).out).toContain(named('managed'))
    const gone = await access(['revoke-sql', named('managed'), '--yes'], env)
    expect(gone).toMatchObject({ code: 0, err: '' })
    expect(await rolesNamed(named('managed'))).toBe(0)
  })

  test('a login that owns something elsewhere loses its rights, and is told about', async () => {
    const name = named('owner')
    await granted(name, '--tenant', 'beta')
    const elsewhere = new URL(nomaly.database.adminUrl)
    elsewhere.pathname = '/postgres'
    const other = await connected(elsewhere.href)
    await other.query(`create schema ${name} authorization ${name}`)
    const { code, err } = await access(['revoke-sql', name, '--yes'])
    expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining('another database') })
    const { rows } = await admin.query('select rolcanlogin from pg_roles where rolname = $1', [name])
    expect(rows).toEqual([{ rolcanlogin: false }])
    await other.query(`drop schema ${name}`)
    expect((await access(['revoke-sql', name, '--yes'])).code).toBe(0)
    expect(await rolesNamed(name)).toBe(0)
  })
})
