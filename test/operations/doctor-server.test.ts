import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { judgeAges } from '../../src/operations/doctor/checks/wraparound.ts'
import { findLongTransactions } from '../../src/operations/doctor/checks/long-transactions.ts'
import { openExaminedDatabase } from '../../src/operations/doctor/examined-database.ts'
import { migrateInstance } from '../../src/operations/open-instance.ts'
import { startTestServer, type TestServer } from '../support/postgres.ts'
import { look, verdicts } from './look.ts'

// Settings of a whole server are changed here: one of its own, with those of the product.
let server: TestServer
let client: Client

beforeAll(async () => {
  server = await startTestServer({ durable: true })
  await migrateInstance({ adminUrl: server.adminUrl }, 'partitioned', () => {})
  client = await connect()
})

afterAll(async () => {
  await client?.end()
  await server?.stop()
})

async function connect(): Promise<Client> {
  const made = new Client({ connectionString: server.adminUrl })
  made.on('error', () => {})
  await made.connect()
  return made
}

async function said(...checks: string[]): Promise<string[]> {
  return verdicts(await look(checks, { DATABASE_URL: server.adminUrl }))
}

/** Sets what needs no restart, waits until a new connection sees it, and resets it afterwards. */
async function withSettings(settings: Record<string, string>, work: () => Promise<void>): Promise<void> {
  const change = async (statements: string[]): Promise<void> => {
    for (const statement of statements) await client.query(statement)
    await client.query('select pg_reload_conf()')
    await sleep(200)
  }
  await change(Object.entries(settings).map(([name, value]) => `alter system set ${name} = '${value}'`))
  try {
    await work()
  } finally {
    await change(Object.keys(settings).map((name) => `alter system reset ${name}`))
  }
}

test('a server of the product, freshly migrated, is well', async () => {
  const reports = await look([], { DATABASE_URL: server.adminUrl })
  expect(reports.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
})

test('what is not durable fails, wherever it is set', async () => {
  await withSettings({ fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off' }, async () => {
    expect(await said('durability')).toEqual([
      'durability fail: fsync is off.',
      'durability fail: full_page_writes is off.',
      'durability fail: synchronous_commit is off.',
    ])
  })
  await client.query('alter role postgres set synchronous_commit = off')
  expect(await said('durability')).toEqual([
    'durability fail: synchronous_commit is off for the login postgres.',
  ])
  await client.query('alter role postgres reset synchronous_commit')
  await withSettings({ synchronous_standby_names: 'nobody' }, async () => {
    expect(await said('durability')).toEqual([
      'durability fail: Synchronous standbys are asked for, and none is connected.',
    ])
  })
  await withSettings({ synchronous_standby_names: 'nobody', synchronous_commit: 'local' }, async () => {
    expect(await said('durability')).toEqual([
      expect.stringMatching(/^durability warn: .*nobody waits for them/),
    ])
  })
  expect(await said('durability')).toEqual([expect.stringMatching(/^durability ok/)])
})

test('a log that would hold secrets is warned of', async () => {
  await withSettings({ log_statement: 'all' }, async () => {
    expect(await said('log-privacy')).toEqual(['log-privacy warn: log_statement is all.'])
  })
  await withSettings({ log_min_duration_statement: '1s' }, async () => {
    expect(await said('log-privacy')).toEqual([expect.stringMatching(/^log-privacy warn: Slow statements/)])
  })
  await withSettings({ log_min_duration_statement: '1s', log_parameter_max_length: '0' }, async () => {
    expect(await said('log-privacy')).toEqual([expect.stringMatching(/^log-privacy ok/)])
  })
})

test('a lock table that fills up is warned of', async () => {
  const holder = await connect()
  await holder.query('begin')
  await holder.query('select count(pg_advisory_xact_lock_shared(n)) from generate_series(1, 9000) n')
  expect(await said('locks')).toEqual([
    expect.stringMatching(/^locks warn: 9\d\d\d of 15360 locks are taken now/),
  ])
  await holder.end()
})

test('a slot that nobody reads from is warned of, and one that has lost its log fails', async () => {
  await client.query("select pg_create_physical_replication_slot('gone', true)")
  expect(await said('replication-slots')).toEqual([
    expect.stringMatching(/^replication-slots warn: Nobody reads from the slot gone, which keeps /),
    'replication-slots warn: max_slot_wal_keep_size is unlimited.',
  ])
  await withSettings({ max_slot_wal_keep_size: '1MB' }, async () => {
    await fillLog(40)
    await client.query('select pg_switch_wal()')
    await client.query('checkpoint')
    await expect
      .poll(() => said('replication-slots'), { timeout: 10_000 })
      .toEqual(['replication-slots fail: The slot gone has lost the log that it waited for.'])
  })
  await client.query("select pg_drop_replication_slot('gone')")
  expect(await said('replication-slots')).toEqual(['replication-slots ok: There are none.'])
})

test('a standby that is behind is warned of, by its name', async () => {
  const { rows } = await client.query('select pg_current_wal_flush_lsn()::text as lsn')
  const start = rows[0].lsn as string
  const standby = await startReceiver(start)
  await expect
    .poll(() => said('replication-lag'))
    .toEqual([expect.stringMatching(/^replication-lag ok: 1 standby,/)])
  await fillLog(70)
  await expect
    .poll(() => said('replication-lag'), { timeout: 10_000 })
    .toEqual([
      expect.stringMatching(/^replication-lag warn: late-standby is [\d.]+ s and [\d.]+ MB behind\.$/),
    ])
  await standby.end()
  await expect.poll(() => said('replication-lag')).toEqual(['replication-lag ok: No standby is connected.'])
})

/** Takes the log as a standby does, and says that it has replayed nothing since. */
async function startReceiver(lsn: string): Promise<Client> {
  const url = new URL(server.adminUrl)
  url.searchParams.set('replication', 'true')
  const standby = new Client({ connectionString: url.href, application_name: 'late-standby' })
  standby.on('error', () => {})
  await standby.connect()
  const { connection } = standby as unknown as {
    connection: NodeJS.EventEmitter & { sendCopyFromChunk(chunk: Buffer): void }
  }
  const started = new Promise((resolve, reject) => {
    connection.once('replicationStart', resolve)
    // Words of the replication protocol are upper-case only.
    standby.query(`START_REPLICATION PHYSICAL ${lsn}`).catch(reject)
  })
  await started
  // Standby status update (PostgreSQL manual, 55.4): written, flushed, replayed, its clock, no reply wanted.
  const status = Buffer.alloc(34)
  status.write('r')
  const [high, low] = lsn.split('/').map((part) => BigInt(`0x${part}`))
  for (const at of [1, 9, 17]) status.writeBigUInt64BE((high! << 32n) | low!, at)
  connection.sendCopyFromChunk(status)
  return standby
}

/** Writes so many megabytes of log that compress to nothing less. */
async function fillLog(megabytes: number): Promise<void> {
  for (let i = 0; i < megabytes; i++)
    await client.query("select pg_logical_emit_message(false, 'test', repeat('x', 1048576))")
}

test('a transaction that stays open is named, without what it does', async () => {
  const idler = new Client({ connectionString: server.adminUrl, application_name: 'report' })
  await idler.connect()
  await idler.query('begin')
  await idler.query("select 'a secret'")
  await using database = await openExaminedDatabase(
    {
      name: 'database',
      holds: 'everything',
      adminUrl: server.adminUrl,
      applicationUrl: server.adminUrl,
      isEmbedded: false,
    },
    Date.now,
  )
  await sleep(300)
  const [warned] = await findLongTransactions(database.ask, 0.2, 60)
  expect(warned).toMatchObject({
    verdict: 'warn',
    says: expect.stringMatching(
      /^report of postgres \(process \d+\) has been idle in a transaction for [\d.]+ s\.$/,
    ),
    todo: expect.stringContaining('pg_terminate_backend('),
  })
  expect(JSON.stringify(warned)).not.toContain('a secret')
  expect(await findLongTransactions(database.ask, 0.1, 0.2)).toMatchObject([{ verdict: 'fail' }])
  expect(await findLongTransactions(database.ask, 3_600, 7_200)).toMatchObject([{ verdict: 'ok' }])
  await idler.end()
})

test('deleted rows that pile up, tables without statistics, and autovacuum that is off', async () => {
  await client.query(`create table heap (id int, filler int) with (autovacuum_enabled = false);
    insert into heap select n, n from generate_series(1, 200000) n; delete from heap where id <= 120000`)
  await expect
    .poll(() => said('vacuum'), { timeout: 10_000 })
    .toEqual([
      expect.stringMatching(/^vacuum warn: 60 % of public\.heap are deleted rows \(120,000\)\.$/),
      'vacuum warn: public.heap has never been analysed.',
    ])
  await client.query('vacuum analyze heap')
  await expect.poll(() => said('vacuum')).toEqual(['vacuum ok: Autovacuum keeps up.'])
  await client.query('drop table heap')
  await withSettings({ autovacuum: 'off' }, async () => {
    expect(await said('vacuum')).toEqual(['vacuum fail: Autovacuum is off.'])
  })
})

test('the age of the oldest rows: as the server tells it, and as it would be judged', async () => {
  expect(await said('wraparound')).toEqual([
    expect.stringMatching(/^wraparound ok: The oldest rows are 0 million/),
  ])
  const aged = (age: number) => judgeAges({ database: 'x', age, limit: 200e6 }).verdict
  expect([250e6, 299e6, 301e6, 1199e6, 1201e6].map(aged)).toEqual(['ok', 'ok', 'warn', 'warn', 'fail'])
})

test('archiving that fails', async () => {
  await client.query("alter system set archive_mode = 'on'")
  await client.query("alter system set archive_command = 'false'")
  // Ended, it is started again, with what was set.
  await server.kill()
  await expect
    .poll(
      async () => {
        const other = await connect().catch(() => undefined)
        await other?.query('select pg_switch_wal()').catch(() => {})
        await other?.end().catch(() => {})
        return said('write-ahead-log')
      },
      { timeout: 20_000, interval: 500 },
    )
    .toEqual([expect.stringMatching(/^write-ahead-log fail: Archiving fails: 0000\w+ could not be archived/)])
})
