import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { connectClient } from '../../src/database/connect.ts'
import { Database, type DatabaseOptions } from '../../src/database/database.ts'
import { eventually } from '../support/nomaly.ts'
import { app, latest } from './database-fixture.ts'
import { type Pair, signalAll, startPair } from './failover-fixture.ts'

function open(url: string, changes: Partial<DatabaseOptions> = {}): Database {
  const database = new Database({
    url,
    applicationName: 'nomaly test',
    maxConnections: 8,
    acquireTimeoutMs: 20_000,
    statementTimeoutMs: 10_000,
    commitTimeoutMs: 3_000,
    idleHoldMs: 20_000,
    log: () => {},
    ...changes,
  })
  onTestFinished(() => database[Symbol.asyncDispose]())
  return database
}

async function port(database: Database): Promise<number> {
  const [row] = await database.read(latest, (connection) =>
    connection.query<{ port: number }>("select current_setting('port')::int4 as port"),
  )
  return row!.port
}

/** Clients that write one after the other without a pause, and remember what was acknowledged. */
class Writers {
  readonly acknowledged: string[] = []
  readonly failures: unknown[] = []
  longestMs = 0
  #isOver = false
  readonly #running: Promise<void[]>

  constructor(database: Database, count = 6) {
    this.#running = Promise.all(Array.from({ length: count }, () => this.#write(database)))
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await this.#running
  }

  async #write(database: Database): Promise<void> {
    while (!this.#isOver) {
      const id = randomUUID()
      const startedAt = performance.now()
      await database
        .transaction({ ...app, retry: true }, (connection) =>
          connection.query('insert into public.written values ($1)', [id]),
        )
        .then(
          () => this.acknowledged.push(id),
          (error: unknown) => this.failures.push(error),
        )
      this.longestMs = Math.max(this.longestMs, performance.now() - startedAt)
    }
  }
}

async function withTable(pair: Pair): Promise<Pair> {
  const client = await connectClient(pair.adminUrl)
  await client.query(
    'create table public.written (id text primary key); grant all on public.written to nomaly_app',
  )
  await client.end()
  await eventually(async () =>
    pair.standby.ask('select from public.written').then(
      () => true,
      () => false,
    ),
  )
  return pair
}

async function written(url: string): Promise<Set<string>> {
  const client = await connectClient(url)
  try {
    return new Set(
      (await client.query<{ id: string }>('select id from public.written')).rows.map(({ id }) => id),
    )
  } finally {
    await client.end()
  }
}

describe('of several servers', () => {
  test(
    'the one that takes writes is found; a standby alone is refused, unless any will do',
    { timeout: 60_000 },
    async () => {
      const { primary, standby, url, standbyUrl } = await startPair()
      expect(await port(open(url))).toBe(primary.port)
      const alone = open(standbyUrl)
      await expect(port(alone)).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringContaining('standby'),
        hint: expect.stringContaining('commas'),
      })
      expect(await port(open(standbyUrl, { server: 'any' }))).toBe(standby.port)
      expect(await port(open(`${standbyUrl}&target_session_attrs=any`))).toBe(standby.port)
      // What is said by all is not waited out.
      const startedAt = performance.now()
      await expect(port(open(url.replace(':test@', ':wrong@')))).rejects.toMatchObject({ code: '28P01' })
      expect(performance.now() - startedAt).toBeLessThan(10_000)
    },
  )

  test('none that takes writes: told so in time, with the reason', { timeout: 60_000 }, async () => {
    const { standby, url, primary } = await startPair()
    const database = open(url, { acquireTimeoutMs: 1_500 })
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
      const writers = new Writers(open(url))
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
    const database = open(url)
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
    expect(await port(open(url))).toBe(standby.port)
    for (const failure of writers.failures) expect(failure).toMatchObject({ httpStatus: 503 })
  })

  test(
    'while an old primary is back and alone: it is not taken for the new one',
    { timeout: 60_000 },
    async () => {
      const { primary, standby, url } = await startPair()
      const database = open(url, { acquireTimeoutMs: 2_000 })
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
    const database = open(primaryUrl, { commitTimeoutMs: 20_000 })
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
      const database = open(primaryUrl, { commitTimeoutMs: 500 })
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
