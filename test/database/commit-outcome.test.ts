import pg from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { createMigratedDatabase } from '../support/nomaly.ts'
import type { TestDatabase } from '../support/postgres.ts'
import { type Fate, TcpProxy } from '../support/tcp-proxy.ts'

let testDatabase: TestDatabase
let databaseUrl: string

beforeAll(async () => {
  ;({ database: testDatabase, databaseUrl } = await createMigratedDatabase())
  await admin('create table public.things (name text); grant all on public.things to nomaly_app')
})
afterAll(() => testDatabase?.drop())

async function admin<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]> {
  const client = new pg.Client({ connectionString: testDatabase.adminUrl })
  await client.connect()
  try {
    return (await client.query<Row>(text, values)).rows
  } finally {
    await client.end()
  }
}

async function count(name: string): Promise<number> {
  return (await admin('select from public.things where name = $1', [name])).length
}

/** A database behind a proxy; with one connection only, so that finding out needs no second one. */
async function open(maxConnections = 1): Promise<{ database: Database; proxy: TcpProxy }> {
  const proxy = await TcpProxy.to(databaseUrl)
  const database = new Database({
    url: proxy.url(databaseUrl),
    applicationName: 'commit-outcome.test',
    maxConnections,
    acquireTimeoutMs: 1_000,
    statementTimeoutMs: 5_000,
    commitTimeoutMs: 700,
    log: () => {},
  })
  onTestFinished(async () => {
    await database[Symbol.asyncDispose]()
    await proxy[Symbol.asyncDispose]()
  })
  return { database, proxy }
}

function insert(database: Database, name: string): Promise<unknown> {
  return database.transaction({ role: 'nomaly_app' }, (connection) =>
    connection.query('insert into public.things values ($1)', [name]),
  )
}

function isCommit(sent: Buffer): boolean {
  return sent.includes('commit; select')
}

/** Of those who find out: the insert that refuses the marker. */
function isVerdict(sent: Buffer): boolean {
  return sent.includes('on conflict (marker) do nothing')
}

const LOSSES: readonly Fate[] = [
  { lost: 'request', then: 'cut' },
  { lost: 'request', then: 'silent' },
  { lost: 'answer', then: 'cut' },
  { lost: 'answer', then: 'silent' },
]

test.for(LOSSES)(
  'the $lost of a commit is lost ($then): success with one row, or an error with none',
  async (fate) => {
    const { database, proxy } = await open()
    const name = `${fate.lost} ${fate.then}`
    proxy.strike((sent) => (isCommit(sent) ? fate : undefined))
    const outcome = await insert(database, name).catch((error: unknown) => error)
    if (fate.lost === 'answer') {
      expect(outcome).toMatchObject({ position: { lsn: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/) } })
      expect(await count(name)).toBe(1)
    } else {
      expect(outcome).toMatchObject({
        code: 'unavailable',
        hint: expect.stringContaining('Nothing was stored'),
      })
      expect(await count(name)).toBe(0)
      await insert(database, name)
      expect(await count(name)).toBe(1)
    }
  },
)

test.for([
  { of: 'request', stored: 0 },
  { of: 'answer', stored: 1 },
] as const)(
  'the answer to whoever finds out is lost too, after the $of of the commit',
  async ({ of, stored }) => {
    const { database, proxy } = await open()
    const name = `twice ${of}`
    // The verdict itself is committed, and nobody hears of it: the next look must not take it for the transaction's own marker.
    const loseVerdict = (): void => {
      let isSeen = false
      proxy.strike((sent) => {
        if (isVerdict(sent)) isSeen = true
        return isSeen && /^Q....commit\0$/s.test(sent.toString('latin1'))
          ? { lost: 'answer', then: 'cut' }
          : undefined
      })
    }
    let isStruck = false
    proxy.strike((sent) => {
      if (!isCommit(sent)) return undefined
      queueMicrotask(loseVerdict)
      isStruck = true
      return { lost: of, then: 'cut' }
    })
    const outcome = await insert(database, name).then(
      () => 1,
      (error: { code: string }) => (error.code === 'unavailable' ? 0 : error),
    )
    expect(isStruck).toBe(true)
    expect(outcome).toBe(stored)
    expect(await count(name)).toBe(stored)
  },
)

test('every connection of the pool is lost in its commit at once', async () => {
  const { database, proxy } = await open(4)
  await Promise.all(Array.from({ length: 4 }, () => insert(database, 'warm')))
  let committing = 0
  proxy.strike((sent) => {
    if (isCommit(sent) && ++committing === 4) setImmediate(() => proxy.cut())
    return undefined
  })
  const outcomes = await Promise.allSettled(
    Array.from({ length: 4 }, (_, index) => insert(database, `at once ${index}`)),
  )
  for (const [index, { status }] of outcomes.entries())
    expect(await count(`at once ${index}`)).toBe(status === 'fulfilled' ? 1 : 0)
  expect(committing).toBeGreaterThanOrEqual(4)
  for (const outcome of outcomes)
    if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'unavailable' })
})

test('the server comes back after some seconds, and the outcome is found out', async () => {
  const { database, proxy } = await open()
  proxy.strike((sent) => {
    if (!isCommit(sent)) return undefined
    setTimeout(() => proxy.goAway(), 100)
    setTimeout(() => proxy.comeBack(), 1_500)
    return { lost: 'answer', then: 'silent' }
  })
  await insert(database, 'back again')
  expect(await count('back again')).toBe(1)
})

test('the server stays away: the outcome is unknown, and said to be', { timeout: 60_000 }, async () => {
  const { database, proxy } = await open()
  proxy.strike((sent) => {
    if (!isCommit(sent)) return undefined
    setTimeout(() => proxy.goAway(), 100)
    return { lost: 'answer', then: 'silent' }
  })
  await expect(insert(database, 'unknown')).rejects.toMatchObject({
    code: 'unknown_outcome',
    httpStatus: 503,
    hint: expect.stringContaining('again'),
  })
})

test('the server ends the connection while it commits', async () => {
  const { database } = await open()
  await admin(`create function public.dawdle() returns trigger language plpgsql as $$ begin perform pg_sleep(3); return null; end $$;
    create table public.slow (name text); grant all on public.slow to nomaly_app;
    create constraint trigger slow after insert on public.slow deferrable initially deferred for each row execute function public.dawdle()`)
  let pid = 0
  const inserting = database.transaction({ role: 'nomaly_app' }, async (connection) => {
    await connection.query("insert into public.slow values ('one')")
    pid = (await connection.query<{ pid: number }>('select pg_backend_pid() as pid'))[0]!.pid
  })
  setTimeout(() => void admin('select pg_terminate_backend($1)', [pid]), 300)
  await expect(inserting).rejects.toMatchObject({ name: 'NomalyError', code: 'unavailable' })
  expect(await admin('select from public.slow')).toEqual([])
})
