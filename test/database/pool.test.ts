import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Database, DatabaseOptions } from '../../src/database/database.ts'
import { withPurpose } from '../../src/database/purpose.ts'
import { eventually } from '../support/nomaly.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { add, app, latest, useDatabase } from './database-fixture.ts'

const fixture = useDatabase()

/** Holds a number of connections until the answer is called. */
async function hold(database: Database, count: number): Promise<() => Promise<void>> {
  const gate = Promise.withResolvers<void>()
  const holding = Array.from({ length: count }, () =>
    database.read(latest, async (connection) => {
      await connection.query('select 1')
      await gate.promise
    }),
  )
  await eventually(async () => database.poolUse.budgets.web.inUse === count && database.poolUse.idle === 0)
  return async () => {
    gate.resolve()
    await Promise.all(holding)
  }
}

function pid(database: Database): Promise<number> {
  return database.read(latest, async (connection) => {
    const [row] = await connection.query<{ pid: number }>('select pg_backend_pid() as pid')
    return row!.pid
  })
}

/** A pool that writes its log here. */
function openLogged(changes: Partial<DatabaseOptions>): { database: Database; lines: string[] } {
  const lines: string[] = []
  return { database: fixture.open({ log: (line) => lines.push(line), ...changes }), lines }
}

describe('connections', () => {
  test('beyond those that are kept are closed when nobody has used them for a while', async () => {
    const database = fixture.open({ maxConnections: 6, keptConnections: 2, overflowIdleMs: 200 })
    const release = await hold(database, 4)
    expect(database.poolUse).toMatchObject({ total: 4, idle: 0, max: 6 })
    await release()
    await eventually(async () => database.poolUse.total === 2)
    await sleep(500)
    expect(database.poolUse).toMatchObject({ total: 2, idle: 2 })
  })

  test('that are old are replaced, also while they are used', async () => {
    const database = fixture.open({ maxConnections: 1, recycleSeconds: 1 })
    const first = await pid(database)
    expect(await pid(database)).toBe(first)
    await eventually(async () => (await pid(database)) !== first)
  })
})

describe('a budget', () => {
  test('is that of what runs, however deep, and none starves another', async () => {
    const database = fixture.open({ maxConnections: 8, acquireTimeoutMs: 400 })
    const release = await hold(database, database.roomFor('web'))
    await expect(pid(database)).rejects.toMatchObject({ code: 'overloaded', retryAfterSeconds: 1 })
    await withPurpose({ budget: 'work', label: 'a task' }, () => pid(database))
    await database.read({ ...latest, budget: 'maintenance' }, (connection) => connection.query('select 1'))
    await release()
    expect(database.poolUse.budgets.web).toMatchObject({ inUse: 0, waiting: 0, refused: { late: 1 } })
  })

  test('of those who come by the thousand is refused beyond the queue, and the rest is served', async () => {
    const database = fixture.open({ maxConnections: 4, maxWaiting: 50 })
    const waits: number[] = []
    database.onWait((_budget, waitedMs) => waits.push(waitedMs))
    const outcomes = await Promise.allSettled(Array.from({ length: 200 }, () => pid(database)))
    const refused = outcomes.filter(({ status }) => status === 'rejected')
    const served = outcomes.length - refused.length
    expect(refused.length).toBe(database.poolUse.budgets.web.refused.full)
    expect(served).toBe(50 + database.roomFor('web'))
    expect(waits.length).toBe(served)
    for (const outcome of refused)
      expect(outcome).toMatchObject({
        reason: { code: 'overloaded', httpStatus: 503, retryAfterSeconds: expect.any(Number) },
      })
  })
})

describe('a connection that is held without a statement', () => {
  test('is found, named and ended; who held it hears why, and nothing is stored', async () => {
    const { database, lines } = openLogged({ maxConnections: 1, idleHoldMs: 200 })
    const holding = withPurpose({ budget: 'web', label: 'POST /v1/leaky' }, () =>
      database.transaction({ ...app, retry: true }, async (connection) => {
        await add(connection, 'leaked')
        await sleep(1_500)
        await add(connection, 'leaked too')
      }),
    )
    const error = holding.catch((reason: unknown) => reason)
    // Its place is free long before it lets go.
    await eventually(async () => lines.length > 0, 1_200)
    await pid(database)
    expect(await error).toMatchObject({ code: 'internal', message: expect.stringContaining('too long') })
    expect(lines).toEqual([
      expect.stringMatching(/^A connection to the database was ended: POST \/v1\/leaky held it for \d\.\d s/),
    ])
    expect(database.poolUse).toMatchObject({ leaks: 1, budgets: { web: { inUse: 0 } } })
    expect(await fixture.names('leaked%')).toEqual([])
  })

  test('is left alone where it is asked all the time, is asked something long, or has said so', async () => {
    const { database, lines } = openLogged({ maxConnections: 3, idleHoldMs: 200 })
    await Promise.all([
      database.read(latest, async (connection) => {
        for (let i = 0; i < 20; i++) {
          await connection.query('select 1')
          await sleep(50)
        }
      }),
      database.read(latest, (connection) => connection.query('select pg_sleep(1)')),
      database.session({ ...app, mayIdle: true }, async (connection) => {
        await sleep(1_000)
        await connection.query('select 1')
      }),
    ])
    expect(lines).toEqual([])
    expect(database.poolUse.leaks).toBe(0)
  })
})

test('a server that does not answer any more is not waited for longer than its statement may take', async () => {
  const proxy = await TcpProxy.to(fixture.url())
  onTestFinished(() => proxy[Symbol.asyncDispose]())
  const { database, lines } = openLogged({
    url: proxy.url(fixture.url()),
    maxConnections: 1,
    statementTimeoutMs: 300,
    commitTimeoutMs: 300,
    // The server would end it before.
    idleHoldMs: 20_000,
  })
  await pid(database)
  proxy.strike((sent) => (sent.includes('pg_backend_pid') ? { lost: 'answer', next: 'silent' } : undefined))
  await expect(pid(database)).rejects.toMatchObject({ code: 'unavailable' })
  expect(lines).toEqual([expect.stringMatching(/nomaly test had no answer for \d+\.\d s/)])
  await pid(database)
})

test('a lock that others hold is waited for as long as is said', async () => {
  const database = fixture.open({ lockTimeoutMs: 200 })
  await database.transaction(app, async (connection) => {
    await add(connection, 'locked')
    const startedAt = Date.now()
    await expect(database.transaction(app, (other) => add(other, 'locked'))).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('locked'),
    })
    expect(Date.now() - startedAt).toBeGreaterThan(150)
    // A limit of its own is the limit of its locks too.
    await expect(
      database.transaction({ ...app, timeoutMs: 600 }, (other) => add(other, 'locked')),
    ).rejects.toMatchObject({ message: expect.stringMatching(/locked|longer/) })
    expect(Date.now() - startedAt).toBeGreaterThan(700)
  })
})
