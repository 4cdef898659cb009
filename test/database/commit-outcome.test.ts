import { expect, test, type TestContext } from 'vitest'
import type { Database } from '../../src/database/database.ts'
import { type Fate, TcpProxy } from '../support/tcp-proxy.ts'
import { add, app, useDatabase } from './database-fixture.ts'

const fixture = useDatabase()

async function count(name: string): Promise<number> {
  return (await fixture.names(name)).length
}

/** A database behind a proxy; with one connection only, so that finding out needs no second one. */
async function open(
  { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
  maxConnections = 1,
): Promise<{ database: Database; proxy: TcpProxy }> {
  const proxy = await TcpProxy.to(fixture.url())
  onTestFinished(() => proxy[Symbol.asyncDispose]())
  const database = fixture.open(
    {
      url: proxy.url(fixture.url()),
      maxConnections,
      acquireTimeoutMs: 1_000,
      commitTimeoutMs: 700,
    },
    onTestFinished,
  )
  return { database, proxy }
}

function insert(database: Database, name: string): Promise<unknown> {
  return database.transaction(app, (connection) => add(connection, name))
}

function isCommit(sent: Buffer): boolean {
  return sent.includes('commit; select')
}

/** Of those who find out: the insert that refuses the marker. */
function isVerdict(sent: Buffer): boolean {
  return sent.includes('on conflict (marker) do nothing')
}

const LOSSES: readonly Fate[] = [
  { lost: 'request', next: 'cut' },
  { lost: 'request', next: 'silent' },
  { lost: 'answer', next: 'cut' },
  { lost: 'answer', next: 'silent' },
]

test.concurrent.for(LOSSES)(
  'the $lost of a commit is lost ($next): success with one row, or an error with none',
  async (fate, context) => {
    const { database, proxy } = await open(context)
    const name = `${fate.lost} ${fate.next}`
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

test.concurrent.for([
  { of: 'request', stored: 0 },
  { of: 'answer', stored: 1 },
] as const)(
  'the answer to whoever finds out is lost too, after the $of of the commit',
  async ({ of, stored }, context) => {
    const { database, proxy } = await open(context)
    const name = `twice ${of}`
    // The verdict itself is committed, and nobody hears of it: the next look must not take it for the transaction's own marker.
    const loseVerdict = (): void => {
      let isSeen = false
      proxy.strike((sent) => {
        if (isVerdict(sent)) isSeen = true
        return isSeen && /^Q....commit\0$/s.test(sent.toString('latin1'))
          ? { lost: 'answer', next: 'cut' }
          : undefined
      })
    }
    let isStruck = false
    proxy.strike((sent) => {
      if (!isCommit(sent)) return undefined
      queueMicrotask(loseVerdict)
      isStruck = true
      return { lost: of, next: 'cut' }
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

test.concurrent('every connection of the pool is lost in its commit at once', async (context) => {
  const { database, proxy } = await open(context, 4)
  await Promise.all(Array.from({ length: 4 }, (_, index) => insert(database, `warm ${index}`)))
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

test.concurrent('the server comes back after some seconds, and the outcome is found out', async (context) => {
  const { database, proxy } = await open(context)
  proxy.strike((sent) => {
    if (!isCommit(sent)) return undefined
    setTimeout(() => proxy.goAway(), 100)
    setTimeout(() => proxy.comeBack(), 1_500)
    return { lost: 'answer', next: 'silent' }
  })
  await insert(database, 'back again')
  expect(await count('back again')).toBe(1)
})

test.concurrent(
  'the server stays away: the outcome is unknown, and said to be',
  { timeout: 60_000 },
  async (context) => {
    const { database, proxy } = await open(context)
    proxy.strike((sent) => {
      if (!isCommit(sent)) return undefined
      setTimeout(() => proxy.goAway(), 100)
      return { lost: 'answer', next: 'silent' }
    })
    await expect(insert(database, 'unknown')).rejects.toMatchObject({
      code: 'unknown_outcome',
      httpStatus: 503,
      hint: expect.stringContaining('again'),
    })
  },
)

test.concurrent('the server ends the connection while it commits', async (context) => {
  const { database } = await open(context)
  await fixture.admin(`create function public.dawdle() returns trigger language plpgsql as $$ begin perform pg_sleep(3); return null; end $$;
    create table public.slow (name text); grant all on public.slow to nomaly_app;
    create constraint trigger slow after insert on public.slow deferrable initially deferred for each row execute function public.dawdle()`)
  let pid = 0
  const inserting = database.transaction(app, async (connection) => {
    await connection.query("insert into public.slow values ('one')")
    pid = (await connection.query<{ pid: number }>('select pg_backend_pid() as pid'))[0]!.pid
  })
  setTimeout(() => void fixture.admin('select pg_terminate_backend($1)', [pid]), 300)
  await expect(inserting).rejects.toMatchObject({ name: 'NomalyError', code: 'unavailable' })
  expect(await fixture.admin('select from public.slow')).toEqual([])
})
