import { describe, expect, test } from 'vitest'
import type { Connection } from '../../src/database/connection.ts'
import { sqlState } from '../../src/database/database-errors.ts'
import { pruneHistory } from '../../src/store/relay.ts'
import { eventually } from '../support/nomaly.ts'
import { add, app, latest, useDatabase } from './database-fixture.ts'

const { open, admin, names } = useDatabase()

async function until(condition: () => boolean): Promise<void> {
  await eventually(async () => condition())
}

describe('a commit', () => {
  test('answers a position that grows, and by which every reader sees it', async () => {
    const database = open()
    const reader = open()
    let last = 0n
    let exact = 0
    for (let round = 0; round < 50; round++) {
      const { position } = await database.transaction(app, (connection) => add(connection, `seen ${round}`))
      const lsn = toNumber(position.lsn)
      expect(lsn).toBeGreaterThan(last)
      last = lsn
      const [row] = await reader.read(latest, (connection) =>
        connection.query<{ there: number; written: boolean; exact: boolean }>(
          'select count(*)::int4 as there, pg_current_wal_insert_lsn() >= $2::pg_lsn as written, pg_current_wal_insert_lsn() = $2::pg_lsn as exact from public.things where name = $1',
          [`seen ${round}`, position.lsn],
        ),
      )
      expect(row).toMatchObject({ there: 1, written: true })
      if (row!.exact) exact += 1
    }
    // With nobody else at work nothing is written after the commit: a position taken before its record would never be the last one.
    expect(exact).toBeGreaterThan(0)
    const [control] = await admin<{ id: string; timeline: number }>(
      'select system_identifier::text as id, (select timeline_id from pg_control_checkpoint()) as timeline from pg_control_system()',
    )
    expect(await database.position()).toMatchObject({ systemId: control!.id, timeline: control!.timeline })
  })

  test('leaves one marker each, which is pruned once it is old', async () => {
    const database = open()
    await admin('delete from nomaly.commit_markers')
    await database.transaction(app, (connection) => add(connection, 'marked'))
    await database.transaction(app, (connection) => add(connection, 'marked too'))
    expect(await admin('select from nomaly.commit_markers')).toHaveLength(2)
    await admin(
      `update nomaly.commit_markers set written_at = now() - interval '25 hours'
       where marker = (select marker from nomaly.commit_markers limit 1)`,
    )
    await pruneHistory(database, 24)
    // That of the other transaction, and those of the two deletions of the pruning itself.
    expect(await admin('select from nomaly.commit_markers')).toHaveLength(3)
    expect(
      await admin("select from nomaly.commit_markers where written_at < now() - interval '1 hour'"),
    ).toEqual([])
  })

  test('that a deferred constraint refuses stores nothing and says which', async () => {
    const database = open()
    const failure = await database
      .transaction(app, (connection) => connection.query('insert into public.pairs values (1, 2)'))
      .catch((error: unknown) => error)
    expect(sqlState(failure)).toBe('23503')
    expect(await admin('select from public.pairs')).toEqual([])
    await database.transaction(app, (connection) => add(connection, 'after the refusal'))
  })
})

describe('a failure', () => {
  test('in the work undoes all of it, and the connection serves the next', async () => {
    const database = open({ maxConnections: 1 })
    const failing = database.transaction(app, async (connection) => {
      await add(connection, 'undone')
      throw new Error('not today')
    })
    await expect(failing).rejects.toThrow('not today')
    await database.transaction(app, (connection) => add(connection, 'done'))
    expect(await names('undone')).toEqual([])
    expect(await names('done')).toEqual(['done'])
  })

  test('of a statement that the work overlooks does not let the rest commit', async () => {
    const database = open({ maxConnections: 1 })
    const failing = database.transaction(app, async (connection) => {
      await add(connection, 'overlooked')
      await connection.query('select 1 / 0').catch(() => {})
    })
    await expect(failing).rejects.toThrow()
    expect(await names('overlooked')).toEqual([])
    await database.transaction(app, (connection) => add(connection, 'after the overlooked one'))
  })

  test('by a statement that takes too long is a timeout', async () => {
    const database = open({ maxConnections: 1 })
    const slow = database.transaction({ ...app, timeoutMs: 100 }, (connection) =>
      connection.query('select pg_sleep(30)'),
    )
    await expect(slow).rejects.toMatchObject({ name: 'NomalyError', code: 'timeout', httpStatus: 504 })
    // The limit was that transaction's own.
    await database.transaction(app, (connection) => connection.query('select pg_sleep(0.3)'))
  })

  test('to get a connection says within the limit that the database is busy', async () => {
    const database = open({ maxConnections: 1, acquireTimeoutMs: 300 })
    const { promise: held, resolve: release } = Promise.withResolvers<void>()
    const holder = database.transaction(app, () => held)
    await until(() => database.poolUse.total === 1 && database.poolUse.idle === 0)
    const startedAt = Date.now()
    const waiting = database.read(latest, (connection) => connection.query('select 1 as one'))
    await expect(waiting).rejects.toMatchObject({
      code: 'overloaded',
      hint: expect.stringContaining('NOMALY_DATABASE_POOL_OVERFLOW'),
    })
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(250)
    release()
    await holder
    await database.read(latest, (connection) => connection.query('select 1 as one'))
  })

  test('of the connection in the middle stores nothing, says so, and the pool recovers', async () => {
    const database = open({ maxConnections: 1 })
    const killed = database.transaction(app, async (connection) => {
      await add(connection, 'killed')
      const [row] = await connection.query<{ pid: number }>('select pg_backend_pid() as pid')
      await admin('select pg_terminate_backend($1, 5000)', [row!.pid])
      await add(connection, 'after the kill')
    })
    await expect(killed).rejects.toMatchObject({ code: 'unavailable', retryAfterSeconds: expect.any(Number) })
    expect(await names('%kill%')).toEqual([])
    await database.transaction(app, (connection) => add(connection, 'recovered'))
    expect(database.poolUse).toMatchObject({ total: 1, idle: 1 })
  })

  test('of idle connections is not felt', async () => {
    const database = open()
    await Promise.all(
      Array.from({ length: 3 }, () => database.transaction(app, (c) => c.query('select pg_sleep(0.05)'))),
    )
    await admin(
      "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'nomaly test' and datname = current_database()",
    )
    await until(() => database.poolUse.total === 0)
    await database.transaction(app, (connection) => add(connection, 'after the idle ones'))
  })
})

describe('a read', () => {
  test('sees one snapshot throughout', async () => {
    const database = open()
    const counts = await database.read(latest, async (connection) => {
      const count = async (): Promise<number> =>
        (
          await connection.query<{ n: number }>(
            "select count(*)::int4 as n from public.things where name = 'meanwhile'",
          )
        )[0]!.n
      const before = await count()
      await database.transaction(app, (other) => add(other, 'meanwhile'))
      return [before, await count()]
    })
    expect(counts).toEqual([0, 0])
    expect(await names('meanwhile')).toEqual(['meanwhile'])
  })

  test('answers the rows of several statements at once, under its role and tenant, and may end with them', async () => {
    const database = open({ maxConnections: 1 })
    const scope = { tenantId: '11111111-2222-4333-8444-555555555555' }
    const answers = await database.read({ ...latest, scope }, async (connection) => {
      const first = await connection.batch(['select nomaly.current_tenant()', 'select where false'])
      const second = await connection.batch(
        [
          'select current_user',
          'set local role nomaly_system',
          'select n, null from generate_series(1, 2) n',
        ],
        'commit',
      )
      await expect(connection.query('select 1 as one')).rejects.toMatchObject({ code: 'internal' })
      await expect(connection.batch(['select 1'])).rejects.toMatchObject({ code: 'internal' })
      return [...first, ...second]
    })
    expect(answers).toEqual([
      [[scope.tenantId]],
      [],
      [['nomaly_app']],
      [],
      [
        [1, null],
        [2, null],
      ],
    ])
    const [state] = await database.read(latest, (connection) =>
      connection.query("select current_user::text as role, current_setting('transaction_read_only') as only"),
    )
    expect(state).toEqual({ role: 'nomaly_app', only: 'on' })
    expect(database.poolUse).toMatchObject({ total: 1, idle: 1 })
  })

  test('of several statements one of which fails, or which are too slow, leaves no transaction behind', async () => {
    const database = open({ maxConnections: 1 })
    const failing = (statements: string[], timeoutMs = 5_000): Promise<unknown> =>
      database
        .read({ ...latest, timeoutMs }, (connection) => connection.batch(statements, 'commit'))
        .catch((error: unknown) => error)
    expect(sqlState(await failing(['select 1', 'select 1 / 0', 'select 2']))).toBe('22012')
    expect(sqlState(await failing(["insert into public.things values ('by a batch')"]))).toBe('25006')
    expect(await failing(['select pg_sleep(30)'], 100)).toMatchObject({ code: 'timeout' })
    const refused = database.read(latest, async () => {
      throw new Error('before anything was asked')
    })
    await expect(refused).rejects.toThrow('before anything was asked')
    const late = database.read(latest, async (connection) => {
      await connection.batch(['select 1'], 'commit')
      throw new Error('after its end')
    })
    await expect(late).rejects.toThrow('after its end')
    expect(await database.read(latest, async () => 'nothing was asked')).toBe('nothing was asked')
    expect(database.poolUse).toMatchObject({ total: 1, idle: 1 })
    expect(await names('by a batch')).toEqual([])
    await database.transaction(app, (connection) => add(connection, 'after failed batches'))
    expect(await names('after failed batches')).toEqual(['after failed batches'])
  })

  test('begins with the typed queries as with any other', async () => {
    const database = open({ maxConnections: 1 })
    const found = await database.read({ ...latest, role: 'nomaly_system' }, async ({ kysely }) => [
      await kysely.selectFrom('tenants').select('id').limit(0).execute(),
      await kysely.selectFrom('tenants').select('id').limit(0).execute(),
    ])
    expect(found).toEqual([[], []])
  })

  test('cannot write', async () => {
    const database = open()
    const writing = database.read(latest, (connection) => add(connection, 'written by a read'))
    expect(sqlState(await writing.catch((error: unknown) => error))).toBe('25006')
    expect(await names('written by a read')).toEqual([])
  })
})

test('work runs under the role and the tenant it was given, and under none afterwards', async () => {
  const database = open({ maxConnections: 1 })
  const scope = { tenantId: '11111111-2222-4333-8444-555555555555' }
  const look = (connection: Connection): Promise<{ role: string; tenant: string | null }[]> =>
    connection.query('select current_user::text as role, nomaly.current_tenant()::text as tenant')
  const { value } = await database.transaction({ ...app, scope }, look)
  expect(value).toEqual([{ role: 'nomaly_app', tenant: scope.tenantId }])
  expect(await database.read({ ...latest, role: 'nomaly_system' }, look)).toEqual([
    { role: 'nomaly_system', tenant: null },
  ])
})

function toNumber(lsn: string): bigint {
  const [high, low] = lsn.split('/') as [string, string]
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)
}
