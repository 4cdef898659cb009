import { Client } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CHECKS } from '../../src/operations/doctor/checks.ts'
import { urlForLogin } from '../../src/operations/connection-urls.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { createMigratedDatabase } from '../support/nomaly.ts'
import { look, verdicts } from './look.ts'

const LOGIN = `nomaly_doctor_${process.pid}`

let database: TestDatabase
let databaseUrl: string
let client: Client

beforeAll(async () => {
  const made = await createMigratedDatabase()
  database = made.database
  client = new Client({ connectionString: database.adminUrl })
  await client.connect()
  // A login of its own: others use that of the tests at the same time.
  await client.query(`create role ${LOGIN} login noinherit password 'test' in role nomaly_app, nomaly_system`)
  databaseUrl = urlForLogin(database.adminUrl, LOGIN, 'test')
})

afterAll(async () => {
  await client?.query(`drop role if exists ${LOGIN}`)
  await client?.end()
  await database?.drop()
})

function environment(changes: Record<string, string> = {}): Record<string, string> {
  return { DATABASE_URL: databaseUrl, ADMIN_DATABASE_URL: database.adminUrl, ...changes }
}

/** Undoes what a test changes in the database. */
async function changed<T>(change: string, back: string, work: () => Promise<T>): Promise<T> {
  await client.query(change)
  try {
    return await work()
  } finally {
    await client.query(back)
  }
}

test('every check of a database or server has a result, and what is not ok says what to do', async () => {
  const reports = await look([], environment())
  const expected = CHECKS.filter(({ on }) => on !== 'redis').map(({ name }) => name)
  expect([...new Set(reports.map(({ check }) => check))]).toEqual(expected)
  for (const { verdict, means, todo, says } of reports) {
    expect(says).toMatch(/^\S.*\.$/)
    if (verdict !== 'ok')
      expect([means, todo]).toEqual([expect.stringMatching(/./), expect.stringMatching(/./)])
  }
  expect(reports.filter(({ says }) => says.includes('could not be looked at'))).toEqual([])
})

test('says why a database cannot be reached, and goes on with the rest', async () => {
  const at = (change: (url: URL) => void): string => {
    const url = new URL(databaseUrl)
    change(url)
    return url.href
  }
  const reach = async (url: string) => look([], { DATABASE_URL: url })
  const nobody = await reach('postgresql://nomaly:very-secret@127.0.0.1:1/nomaly')
  expect(nobody.map(({ check }) => check)).toEqual(['reach', 'disk', 'secrets'])
  expect(nobody[0]).toMatchObject({ verdict: 'fail', todo: expect.stringContaining('DATABASE_URL') })
  expect(JSON.stringify(nobody)).not.toContain('very-secret')
  const wrong = await reach(at((url) => (url.password = 'very-secret')))
  expect(wrong[0]).toMatchObject({ verdict: 'fail', says: expect.stringContaining('does not let us in') })
  const missing = await reach(at((url) => (url.pathname = '/there-is-none')))
  expect(missing[0]).toMatchObject({ verdict: 'fail', says: expect.stringContaining('does not exist') })
  await changed(
    `alter role ${LOGIN} connection limit 0`,
    `alter role ${LOGIN} connection limit -1`,
    async () => {
      const [full] = await reach(databaseUrl)
      expect(full).toMatchObject({
        verdict: 'fail',
        says: expect.stringContaining('accepts no more connections'),
      })
    },
  )
  const [none] = await look(['reach'], {})
  expect(none).toMatchObject({ verdict: 'fail', todo: expect.stringContaining('nomaly start') })
})

test('tells a schema that lacks something, was changed, or is newer', async () => {
  const checksums = 'nomaly.migration_checksums'
  const [right] = await look(['migrations'], environment())
  expect(right).toMatchObject({ verdict: 'ok' })
  const kept = `create table kept as table ${checksums}`
  const back = `truncate ${checksums}; insert into ${checksums} table kept; drop table kept`
  const change = async (statement: string) =>
    changed(`${kept}; ${statement}`, back, async () => (await look(['migrations'], environment()))[0])
  expect(await change(`delete from ${checksums} where name = '0003_create_outbox'`)).toMatchObject({
    verdict: 'fail',
    says: expect.stringContaining('core/0003_create_outbox'),
    todo: expect.stringContaining('nomaly migrate'),
  })
  expect(
    await change(`update ${checksums} set sha256 = 'x' where name = '0003_create_outbox'`),
  ).toMatchObject({
    verdict: 'fail',
    says: 'core/0003_create_outbox was changed after it had been applied.',
  })
  expect(await change(`insert into ${checksums} values ('core', '9999_later', 'x')`)).toMatchObject({
    verdict: 'fail',
    says: expect.stringContaining('core/9999_later'),
  })
  await using empty = await createTestDatabase()
  const [never] = await look(['migrations'], { DATABASE_URL: empty.adminUrl })
  expect(never).toMatchObject({
    verdict: 'fail',
    says: expect.stringMatching(/^\d+ migrations have not been applied/),
  })
})

test("adds up every process: three with the decision's own pools do not fit in its 200 connections", async () => {
  await using metrics = await createTestDatabase()
  const { rows } = await client.query("select current_setting('max_connections')::int4 as max")
  const max = rows[0].max as number
  const decided = environment({
    METRICS_DATABASE_URL: metrics.adminUrl,
    NOMALY_DATABASE_POOL_SIZE: '20',
    NOMALY_DATABASE_POOL_OVERFLOW: '30',
    NOMALY_METRICS_DATABASE_POOL_SIZE: '10',
    NOMALY_METRICS_DATABASE_POOL_OVERFLOW: '20',
  })
  // As many for a server of any size: the decision's has 200.
  const processes = Math.ceil(max / 200) * 3
  const [report] = await look(['connections'], decided, { processes })
  expect(report).toMatchObject({
    verdict: 'fail',
    subject: 'database, metrics database',
    says: expect.stringMatching(/That is \d+ too many\.$/),
    facts: { processes, perProcess: 50 + 5 + 30 },
  })
  const { missing, others, available } = report!.facts as Record<string, number>
  expect(missing).toBe(processes * 85 + others! - available!)
  expect(report!.todo).toContain('max_connections')

  const [fits] = await look(['connections'], decided, { processes: 1 })
  expect(fits).toMatchObject({ verdict: 'ok', facts: { missing: 0 } })
})

test('counts who is connected, and knows the limits of a login', async () => {
  const notifiers = [1, 2].map(
    () => new Client({ connectionString: databaseUrl, application_name: 'nomaly notifier' }),
  )
  for (const each of notifiers) await each.connect()
  try {
    const [two] = await look(['connections'], environment())
    expect(two!.facts).toMatchObject({ processes: 2 })
    await changed(
      `alter role ${LOGIN} connection limit 7`,
      `alter role ${LOGIN} connection limit -1`,
      async () => {
        const reports = await look(['connections'], environment())
        expect(verdicts(reports)).toContain(
          'connections fail: The login may have 7 connections, and the processes may open 110.',
        )
      },
    )
  } finally {
    for (const each of notifiers) await each.end()
  }
})

test('a login that may not see something is told so, not that all is well', async () => {
  const names = ['write-ahead-log', 'long-transactions', 'replication-lag', 'migrations']
  const reports = await look(names, { DATABASE_URL: databaseUrl })
  expect(reports.map(({ check }) => check).toSorted()).toEqual(names.toSorted())
  for (const { verdict, todo } of reports)
    expect([verdict, todo]).toEqual(['warn', expect.stringContaining('pg_monitor')])
})

test('a clock that is off, a zone of its own, and an encoding that cannot hold all letters', async () => {
  expect((await look(['clock'], environment()))[0]).toMatchObject({ verdict: 'ok' })
  expect((await look(['clock'], environment(), { clock: () => Date.now() - 10_000 }))[0]).toMatchObject({
    verdict: 'warn',
  })
  const [hourOff] = await look(['clock'], environment(), { clock: () => Date.now() + 3_600_000 })
  expect(hourOff).toMatchObject({ verdict: 'fail', says: expect.stringContaining('60 min apart') })

  await using other = await createTestDatabase()
  const zone = `alter database ${other.name} set timezone`
  await changed(`${zone} = 'Europe/Berlin'`, `${zone} = 'UTC'`, async () => {
    const [report] = await look(['text-and-time'], { DATABASE_URL: other.adminUrl })
    expect(report).toMatchObject({ verdict: 'warn', says: 'The time zone of the server is Europe/Berlin.' })
  })
  const ascii = `${other.name}_ascii`
  await changed(
    `create database ${ascii} template template0 encoding 'SQL_ASCII' locale_provider libc locale 'C'`,
    `drop database ${ascii} with (force)`,
    async () => {
      const url = new URL(other.adminUrl)
      url.pathname = `/${ascii}`
      const [report] = await look(['text-and-time'], { DATABASE_URL: url.href })
      expect(report).toMatchObject({ verdict: 'fail', says: 'The database is encoded in SQL_ASCII.' })
    },
  )
})

test('refuses a check that there is not, and stops when told', async () => {
  await expect(look(['everything'], environment())).rejects.toMatchObject({
    code: 'invalid_input',
    hint: expect.stringContaining('connections'),
  })
  const signal = AbortSignal.abort()
  await expect(look([], environment(), { signal })).rejects.toThrow(
    expect.objectContaining({ name: 'AbortError' }),
  )
})
