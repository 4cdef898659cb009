import pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openStore } from '../../src/store/open-store.ts'
import { createMigratedDatabase, eventually, startTestNomaly, testConfig } from '../support/nomaly.ts'
import { startPgBouncer } from '../support/pgbouncer.ts'

const MINUTE_MS = 60_000

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  onTestFinished(() => client.end())
  return client
}

describe('behind a PgBouncer that lends servers by the transaction', () => {
  test('an installation works, with fewer servers than it has connections', { timeout: 90_000 }, async () => {
    const { database, databaseUrl: directDatabaseUrl } = await createMigratedDatabase()
    onTestFinished(() => database.drop())
    const databaseUrl = await startPgBouncer(directDatabaseUrl, 4)
    const nomaly = await startTestNomaly({ on: { database, databaseUrl }, config: { directDatabaseUrl } })
    onTestFinished(() => nomaly[Symbol.asyncDispose]())
    const { request, store } = nomaly
    await request('POST', '/v1/datasets', { body: { name: 'shop' } })
    await request('POST', '/v1/jobs', { body: { dataset: 'shop', schedule: { kind: 'streaming' } } })
    const lines = Array.from({ length: 2_000 }, (_, minute) =>
      JSON.stringify({
        time: new Date(1_700_000_000_000 + minute * MINUTE_MS).toISOString(),
        metric: 'orders',
        value: minute === 1_800 ? 500 : 100 + ((minute * 7919) % 13),
      }),
    )
    const parts = Array.from({ length: 20 }, (_, part) =>
      lines.slice(part * 100, part * 100 + 100).join('\n'),
    )
    const headers = { 'content-type': 'application/x-ndjson' }
    const sent = await Promise.all(
      parts.map((body) => request('POST', '/v1/datasets/shop/points', { body, headers })),
    )
    expect(sent.map(({ status }) => status)).toEqual(parts.map(() => 200))
    await eventually(
      async () => (await request('GET', '/v1/anomalies')).body.items?.[0]?.observed === 500,
      40_000,
    )
    // Reads by cursor and by COPY, and work under a lock that outlasts its transactions.
    const query = await request('POST', '/v1/query', {
      body: {
        dataset: 'shop',
        metric: 'orders',
        from: '2023-11-14T00:00:00Z',
        to: '2023-11-17T00:00:00Z',
        bucketSeconds: 3_600,
      },
    })
    expect(query.status, JSON.stringify(query.body)).toBe(200)
    const exported = await request('GET', '/v1/datasets/shop/export?format=csv')
    expect(String(exported.body).trim().split('\n')).toHaveLength(2_001)
    await store.metrics.rollUp(new Date())
    expect(await store.database.isPooled()).toBe(true)
    // Who gives up ends the statement, on whatever server it is.
    const leaving = new AbortController()
    const sleeping = store.database.read(
      { role: 'nomaly_app', freshness: 'latest', signal: leaving.signal },
      (connection) => connection.query('select pg_sleep(20) as bounced'),
    )
    const admin = await connect(database.adminUrl)
    const asleep = async (): Promise<number | null> =>
      (
        await admin.query(
          "select from pg_stat_activity where query like '%as bounced%' and state = 'active' and pid <> pg_backend_pid()",
        )
      ).rowCount
    await eventually(async () => (await asleep()) === 1)
    leaving.abort(new Error('gone'))
    await expect(sleeping).rejects.toThrow('gone')
    await eventually(async () => (await asleep()) === 0)
  })

  test('it does not start without an address past it, and says so', async () => {
    const { database, databaseUrl } = await createMigratedDatabase()
    onTestFinished(() => database.drop())
    const pooled = await startPgBouncer(databaseUrl, 2)
    await expect(openStore(testConfig(), pooled, () => {})).rejects.toMatchObject({
      code: 'invalid_input',
      message: expect.stringContaining('DIRECT_DATABASE_URL'),
      hint: expect.stringContaining('pool_mode = session'),
    })
    const store = await openStore(testConfig({ directDatabaseUrl: databaseUrl }), pooled, () => {})
    await store[Symbol.asyncDispose]()
  })

  test(
    'of a version that forgets named statements, a named one fails: there are none of ours',
    { timeout: 60_000 },
    async () => {
      const { database, databaseUrl } = await createMigratedDatabase()
      onTestFinished(() => database.drop())
      const pooled = await startPgBouncer(databaseUrl, 1)
      const desk = await connect(pooled.replace(/\/[^/]*$/, '/pgbouncer'))
      const { rows } = await desk.query<{ version: string }>('show version')
      const [first, second] = [await connect(pooled), await connect(pooled)]
      const named = { name: 'ours', text: 'select 1 as one' }
      await first.query(named)
      // The same server, lent to somebody else.
      const outcome = await second.query(named).then(
        () => 'kept',
        (error: { code: string }) => error.code,
      )
      const minor = Number(/1\.(\d+)/.exec(rows[0]!.version)![1])
      expect(outcome).toBe(minor < 21 ? '42P05' : 'kept')
    },
  )
})
