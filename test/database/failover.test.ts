import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { connectClient } from '../../src/database/connect.ts'
import type { Database } from '../../src/database/database.ts'
import { eventually } from '../support/nomaly.ts'
import { app, latest } from './database-fixture.ts'
import { openDatabase, signalAll, startPair, withTable, Writers, written } from './failover-fixture.ts'

async function port(database: Database): Promise<number> {
  const [row] = await database.read(latest, (connection) =>
    connection.query<{ port: number }>("select current_setting('port')::int4 as port"),
  )
  return row!.port
}

describe('of several servers', () => {
  test(
    'the one that takes writes is found; a standby alone is refused, unless any will do',
    { timeout: 60_000 },
    async () => {
      const { primary, standby, url, standbyUrl } = await startPair()
      expect(await port(openDatabase(url))).toBe(primary.port)
      const alone = openDatabase(standbyUrl)
      await expect(port(alone)).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringContaining('standby'),
        hint: expect.stringContaining('commas'),
      })
      expect(await port(openDatabase(standbyUrl, { server: 'any' }))).toBe(standby.port)
      expect(await port(openDatabase(`${standbyUrl}&target_session_attrs=any`))).toBe(standby.port)
      // What is said by all is not waited out.
      const startedAt = performance.now()
      await expect(port(openDatabase(url.replace(':test@', ':wrong@')))).rejects.toMatchObject({
        code: '28P01',
      })
      expect(performance.now() - startedAt).toBeLessThan(10_000)
    },
  )

  test('none that takes writes: told so in time, with the reason', { timeout: 60_000 }, async () => {
    const { standby, url, primary } = await startPair()
    const database = openDatabase(url, { acquireTimeoutMs: 1_500 })
    await port(database)
    await primary.stop()
    await expect(port(database)).rejects.toMatchObject({ code: 'unavailable', retryAfterSeconds: 2 })
    // It is followed as soon as there is one again.
    await standby.promote()
    expect(await port(database)).toBe(standby.port)
  })
})

describe('a failover is followed without a restart', () => {
  test(
    'from a primary that shuts down: every write succeeds, and is there',
    { timeout: 60_000 },
    async () => {
      const { primary, standby, url } = await withTable(await startPair())
      const writers = new Writers(openDatabase(url))
      await eventually(async () => writers.acknowledged.length > 50)
      await primary.stop()
      await sleep(500)
      await standby.promote()
      const before = writers.acknowledged.length
      await eventually(async () => writers.acknowledged.length > before + 50)
      await writers.stop()
      expect(writers.failures).toEqual([])
      const stored = await written(standby.adminUrl)
      expect(writers.acknowledged.filter((id) => !stored.has(id))).toEqual([])
      expect(writers.longestMs).toBeLessThan(15_000)
    },
  )

  test('from a primary that is frozen, and not back to it when it thaws', { timeout: 60_000 }, async () => {
    const { primary, standby, url } = await withTable(await startPair())
    const database = openDatabase(url)
    const writers = new Writers(database)
    await eventually(async () => writers.acknowledged.length > 50)
    await signalAll(primary, 'SIGSTOP')
    onTestFinished(() => signalAll(primary, 'SIGCONT'))
    await standby.promote()
    const before = writers.acknowledged.length
    await eventually(async () => writers.acknowledged.length > before + 50, 30_000)
    await signalAll(primary, 'SIGCONT')
    await sleep(300)
    const ports = await Promise.all(Array.from({ length: 30 }, () => port(database)))
    await writers.stop()
    expect(new Set(ports)).toEqual(new Set([standby.port]))
    // Connections that are made anew do not lead there either.
    expect(await port(openDatabase(url))).toBe(standby.port)
    for (const failure of writers.failures) expect(failure).toMatchObject({ httpStatus: 503 })
  })

  test(
    'while an old primary is back and alone: it is not taken for the new one',
    { timeout: 60_000 },
    async () => {
      const { primary, standby, url } = await startPair()
      const database = openDatabase(url, { acquireTimeoutMs: 2_000 })
      expect(await port(database)).toBe(primary.port)
      await standby.promote()
      // Its connections break, and it is there again a moment later, as nobody has told it anything.
      await primary.kill()
      await eventually(async () => (await port(database).catch(() => 0)) === standby.port)
      await standby.kill()
      await eventually(() =>
        connectClient(primary.adminUrl)
          .then((client) => client.end())
          .then(
            () => true,
            () => false,
          ),
      )
      await expect(port(database)).rejects.toMatchObject({ code: 'unavailable' })
      await standby.launch()
      expect(await port(database)).toBe(standby.port)
    },
  )
})

describe('a synchronous standby', () => {
  test('that is not waited for any more: the commit is not acknowledged', { timeout: 60_000 }, async () => {
    const { primary, primaryUrl, standby } = await withTable(await startPair({ synchronous_commit: 'on' }))
    const admin = await connectClient(primary.adminUrl)
    onTestFinished(() => admin.end())
    await admin.query("alter system set synchronous_standby_names = '*'")
    await admin.query('select pg_reload_conf()')
    const database = openDatabase(primaryUrl, { commitTimeoutMs: 20_000 })
    const insert = (id: string): Promise<unknown> =>
      database.transaction({ ...app, retry: true }, (connection) =>
        connection.query('insert into public.written values ($1)', [id]),
      )
    await insert('with standby')
    await standby.kill()
    const inserting = insert('without').catch((error: unknown) => error)
    await eventually(async () => {
      const { rowCount } = await admin.query(
        "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'",
      )
      return rowCount === 1
    })
    expect(await inserting).toMatchObject({
      code: 'unknown_outcome',
      message: expect.stringContaining('standby was cancelled'),
    })
    expect(database.retryCounts).toEqual({ collision: 0, loss: 0 })
    await standby.launch()
    await insert('with it again')
  })

  test(
    'that is away: a commit that took too long is not acknowledged by its marker',
    { timeout: 90_000 },
    async () => {
      const { primary, primaryUrl, standby } = await withTable(await startPair({ synchronous_commit: 'on' }))
      const admin = await connectClient(primary.adminUrl)
      onTestFinished(() => admin.end())
      await admin.query("alter system set synchronous_standby_names = '*'")
      await admin.query('select pg_reload_conf()')
      const database = openDatabase(primaryUrl, { commitTimeoutMs: 500 })
      await standby.kill()
      const inserting = database
        .transaction(app, (connection) => connection.query("insert into public.written values ('late')"))
        .then(
          () => 'acknowledged' as const,
          (error: unknown) => error,
        )
      // The wait is cancelled: the row and its marker can be seen by all, on this server alone.
      await eventually(async () => {
        await admin.query(
          "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'SyncRep' and state_change < now() - interval '1 second'",
        )
        return (await admin.query("select from public.written where id = 'late'")).rowCount === 1
      })
      expect(await Promise.race([inserting, sleep(3_000, 'waits')])).toBe('waits')
      // The standby is back and has it: now it may be acknowledged.
      await standby.launch()
      expect(await inserting).toBe('acknowledged')
      const { rows } = await standby
        .ask("select id from public.written where id = 'late'")
        .then((found) => ({ rows: found }))
      expect(rows).toHaveLength(1)
    },
  )
})
