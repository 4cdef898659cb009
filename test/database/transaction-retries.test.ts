import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Database, DatabaseOptions } from '../../src/database/database.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { add, app, useDatabase } from './database-fixture.ts'

const fixture = useDatabase()
const again = { ...app, retry: true } as const

async function openThrough(
  changes: Partial<DatabaseOptions> = {},
): Promise<{ database: Database; proxy: TcpProxy }> {
  const proxy = await TcpProxy.to(fixture.url())
  onTestFinished(() => proxy[Symbol.asyncDispose]())
  const database = fixture.open({
    url: proxy.url(fixture.url()),
    maxConnections: 2,
    acquireTimeoutMs: 1_000,
    commitTimeoutMs: 700,
    ...changes,
  })
  return { database, proxy }
}

/** Adds a thing in a transaction that may be run again; answers how often it was. */
async function addCounted(database: Database, name: string): Promise<number> {
  let runs = 0
  await database.transaction(again, async (connection) => {
    runs += 1
    await add(connection, name)
  })
  return runs
}

describe('run again is a transaction', () => {
  test('that was the victim of a deadlock', async () => {
    const database = fixture.open()
    const bothHaveOne = Promise.withResolvers<void>()
    let holders = 0
    let runs = 0
    const insert = (first: string, second: string): Promise<unknown> =>
      database.transaction(again, async (connection) => {
        runs += 1
        await connection.query('select pg_advisory_xact_lock(hashtext($1))', [first])
        if (++holders === 2) bothHaveOne.resolve()
        await bothHaveOne.promise
        await connection.query('select pg_advisory_xact_lock(hashtext($1))', [second])
        await add(connection, `deadlock ${first}`)
      })
    await Promise.all([insert('a', 'b'), insert('b', 'a')])
    expect(runs).toBe(3)
    expect(await fixture.names('deadlock%')).toEqual(['deadlock a', 'deadlock b'])
    expect(database.retryCounts).toEqual({ collision: 1, loss: 0 })
  })

  test('that another one was faster than, where it asked to see nothing of others', async () => {
    const database = fixture.open()
    await database.transaction(app, (connection) => add(connection, 'serial'))
    let runs = 0
    await database.transaction({ ...again, isolation: 'repeatable read' }, async (connection) => {
      runs += 1
      await connection.query('select count(*) from public.things')
      if (runs === 1)
        await database.transaction(app, (other) =>
          other.query("update public.things set name = 'serial other' where name = 'serial'"),
        )
      await connection.query("delete from public.things where name like 'serial%'")
    })
    expect(runs).toBe(2)
    expect(await fixture.names('serial%')).toEqual([])
  })

  test('whose connection broke before its COMMIT', async () => {
    const { database, proxy } = await openThrough()
    await addCounted(database, 'warm')
    proxy.strike((sent) => (sent.includes('broken early') ? { lost: 'answer', next: 'cut' } : undefined))
    expect(await addCounted(database, 'broken early')).toBe(2)
    expect(await fixture.names('broken early')).toHaveLength(1)
    expect(database.retryCounts).toEqual({ collision: 0, loss: 1 })
  })

  test('whose server ended it, as one does that shuts down', async () => {
    const database = fixture.open()
    let runs = 0
    await database.transaction(again, async (connection) => {
      runs += 1
      await add(connection, 'shut down')
      const [row] = await connection.query<{ pid: number }>('select pg_backend_pid() as pid')
      if (runs === 1) await fixture.admin('select pg_terminate_backend($1, 5000)', [row!.pid])
      await connection.query('select 1')
    })
    expect(runs).toBe(2)
    expect(await fixture.names('shut down')).toHaveLength(1)
  })

  test('whose COMMIT never arrived, once that is known', async () => {
    const { database, proxy } = await openThrough()
    proxy.strike((sent) => (sent.includes('commit; select') ? { lost: 'request', next: 'cut' } : undefined))
    expect(await addCounted(database, 'commit lost')).toBe(2)
    expect(await fixture.names('commit lost')).toHaveLength(1)
  })
})

describe('not run again is a transaction', () => {
  test('that has committed, though nobody heard of it', async () => {
    const { database, proxy } = await openThrough()
    proxy.strike((sent) => (sent.includes('commit; select') ? { lost: 'answer', next: 'cut' } : undefined))
    expect(await addCounted(database, 'answer lost')).toBe(1)
    expect(await fixture.names('answer lost')).toHaveLength(1)
  })

  test('that has not said that it may be', async () => {
    const { database, proxy } = await openThrough()
    let runs = 0
    proxy.strike((sent) => (sent.includes('only once') ? { lost: 'answer', next: 'cut' } : undefined))
    const adding = database.transaction(app, async (connection) => {
      runs += 1
      await add(connection, 'only once')
    })
    await expect(adding).rejects.toMatchObject({ code: 'unavailable' })
    expect(runs).toBe(1)
    expect(await fixture.names('only once')).toEqual([])
  })

  test('that would fail again, or whose caller has gone', async () => {
    const database = fixture.open()
    await addCounted(database, 'taken')
    let runs = 0
    const fail = (statement: string, signal?: AbortSignal): Promise<unknown> =>
      database.transaction({ ...again, timeoutMs: 200, signal }, async (connection) => {
        runs += 1
        await connection.query(statement)
      })
    await expect(fail("insert into public.things values ('taken')")).rejects.toMatchObject({ code: '23505' })
    await expect(fail('select pg_sleep(1)')).rejects.toMatchObject({ code: 'timeout' })
    await expect(fail('select 1 / 0')).rejects.toMatchObject({ code: '22012' })
    const leaving = new AbortController()
    setTimeout(() => leaving.abort(new Error('left')), 50)
    await expect(fail('select pg_sleep(0.19)', leaving.signal)).rejects.toThrow('left')
    expect(runs).toBe(4)
  })

  test('for the fourth time, nor when it is told to stop while it waits', { timeout: 20_000 }, async () => {
    const { database, proxy } = await openThrough({ random: () => 0.5 })
    proxy.goAway()
    const startedAt = performance.now()
    await expect(addCounted(database, 'away')).rejects.toMatchObject({
      code: 'unavailable',
      retryAfterSeconds: expect.any(Number),
    })
    expect(database.retryCounts.loss).toBe(3)
    // Half of 400, 800 and 1600 ms.
    expect(performance.now() - startedAt).toBeGreaterThan(1_300)
    const leaving = new AbortController()
    const adding = database.transaction({ ...again, signal: leaving.signal }, (connection) =>
      add(connection, 'x'),
    )
    await sleep(50)
    leaving.abort()
    await expect(adding).rejects.toMatchObject({ code: 'unavailable' })
  })
})
