import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createMigratedDatabase, startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import type { TestDatabase } from '../support/postgres.ts'
import { type Fate, TcpProxy } from '../support/tcp-proxy.ts'

let database: TestDatabase
let proxy: TcpProxy
let nomaly: TestNomaly
let admin: pg.Client

beforeEach(async () => {
  const made = await createMigratedDatabase()
  database = made.database
  proxy = await TcpProxy.to(made.databaseUrl)
  nomaly = await startTestNomaly({
    worker: false,
    on: { database, databaseUrl: proxy.url(made.databaseUrl) },
    config: { commitTimeoutMs: 700, acquireTimeoutMs: 2_000 },
  })
  admin = new pg.Client({ connectionString: database.adminUrl })
  await admin.connect()
  await nomaly.request('POST', '/v1/datasets', { body: { name: 'shop' } })
})

afterEach(async () => {
  await admin.end()
  await nomaly[Symbol.asyncDispose]()
  await proxy[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

const body = { name: 'lost', dataset: 'shop', schedule: { kind: 'cron', cron: '0 0 1 1 *' } }

const ask = (): ReturnType<TestNomaly['request']> =>
  nomaly.request('POST', '/v1/jobs', { body, headers: { 'idempotency-key': 'the-only-one' } })

async function stored(): Promise<{ jobs: number; keys: number }> {
  const { rows } = await admin.query(`select
    (select count(*)::int from nomaly.jobs where name = 'lost') as jobs,
    (select count(*)::int from nomaly.idempotency_keys) as keys`)
  return rows[0]
}

/** Repeats the request as a client does, until it is done. */
async function askUntilDone(): Promise<Awaited<ReturnType<typeof ask>>> {
  for (let attempt = 0; attempt < 40; attempt += 1) {
    const answer = await ask()
    if (answer.status === 201) return answer
    expect([409, 503, 504], JSON.stringify(answer.body)).toContain(answer.status)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  throw new Error('The request was never done.')
}

test('a commit whose outcome nobody can find out is found out by the key, when the request is repeated', async () => {
  // The commit arrives, its answer does not, and neither does anybody who asks what became of it.
  let isAfterCommit = false
  const lose = (sent: Buffer): Fate | undefined => {
    if (!sent.includes('commit; select')) return undefined
    isAfterCommit = true
    setImmediate(() => proxy.goAway())
    return { lost: 'answer', next: 'cut' }
  }
  proxy.strike(lose)
  const first = await ask()
  expect(isAfterCommit).toBe(true)
  expect(first).toMatchObject({ status: 503, body: { type: 'urn:nomaly:problem:unknown_outcome' } })
  proxy.comeBack()
  const again = await askUntilDone()
  const { jobs, keys } = await stored()
  expect({ jobs, keys }).toEqual({ jobs: 1, keys: 1 })
  const { rows } = await admin.query("select id from nomaly.jobs where name = 'lost'")
  expect(again.body.id).toBe(rows[0].id)
  expect((await ask()).headers.get('idempotency-replayed')).toBe('true')
}, 120_000)

test('wherever the connection breaks there is the job with its key, or neither; repeated, there is one', async () => {
  // Every statement of the request in turn is the last that the server hears, or the first that it does not hear.
  for (const lost of ['request', 'answer'] as const)
    for (let nth = 1; ; nth += 1) {
      await admin.query("delete from nomaly.jobs where name = 'lost'; delete from nomaly.idempotency_keys")
      let heard = 0
      let hasStruck = false
      proxy.strike(() => {
        heard += 1
        if (heard < nth) return undefined
        hasStruck = true
        return { lost, next: 'cut' }
      })
      const first = await ask()
      const { jobs, keys } = await stored()
      expect(jobs, `after ${first.status}, ${lost} ${nth} lost`).toBe(keys)
      if (first.status === 201) expect(jobs).toBe(1)
      proxy.strike(() => undefined)
      await askUntilDone()
      expect(await stored()).toEqual({ jobs: 1, keys: 1 })
      if (!hasStruck || nth >= 24) break
    }
}, 240_000)

test('a request that is under way on a connection that hangs is not done twice', async () => {
  proxy.strike((sent) =>
    sent.includes('insert into "nomaly"."jobs"') ? { lost: 'request', next: 'silent' } : undefined,
  )
  const hanging = ask()
  await new Promise((resolve) => setTimeout(resolve, 500))
  const second = await ask()
  expect(second).toMatchObject({ status: 409, body: { type: 'urn:nomaly:problem:under_way' } })
  expect(second.headers.get('retry-after')).toBe('1')
  proxy.cut()
  // Nothing of it was stored: it is done on another connection.
  expect((await hanging).status).toBe(201)
  await askUntilDone()
  expect(await stored()).toEqual({ jobs: 1, keys: 1 })
}, 60_000)
