import { expect, test } from 'vitest'
import { eventually } from '../support/nomaly.ts'
import { add, app, useDatabase } from './database-fixture.ts'

const { open, admin, names } = useDatabase()

async function until(condition: () => boolean): Promise<void> {
  await eventually(async () => condition())
}

test('a signal cancels the running statement at once and gives the connection back', async () => {
  const database = open({ maxConnections: 1 })
  const controller = new AbortController()
  const reason = new Error('nobody waits any more')
  const sleeping = database.transaction({ ...app, signal: controller.signal }, async (connection) => {
    await add(connection, 'cancelled')
    setTimeout(() => controller.abort(reason), 50)
    await connection.query('select pg_sleep(9)')
  })
  const startedAt = Date.now()
  await expect(sleeping).rejects.toBe(reason)
  // Far from the nine seconds of the statement.
  expect(Date.now() - startedAt).toBeLessThan(5_000)
  expect(await names('cancelled')).toEqual([])
  await database.transaction(app, (connection) => add(connection, 'not hit by a late cancel'))
  await eventually(async () => {
    const rows = await admin(
      "select from pg_stat_activity where query like '%pg_sleep(9)%' and pid <> pg_backend_pid() and state = 'active'",
    )
    return rows.length === 0
  })
})

test('a signal cancels the last statements of a read too', async () => {
  const database = open({ maxConnections: 1 })
  const controller = new AbortController()
  const sleeping = database.read(
    { role: 'nomaly_app', freshness: 'latest', signal: controller.signal },
    (connection) => connection.batch(['select pg_sleep(8)'], 'commit'),
  )
  setTimeout(() => controller.abort(new Error('no more of it')), 50)
  const startedAt = Date.now()
  await expect(sleeping).rejects.toThrow('no more of it')
  expect(Date.now() - startedAt).toBeLessThan(5_000)
  await database.transaction(app, (connection) => add(connection, 'not hit by the cancel of a read'))
  expect(await names('not hit by the cancel of a read')).toHaveLength(1)
})

test('a signal that comes while no statement runs undoes the work all the same, and nothing of it is committed by the next user', async () => {
  const database = open({ maxConnections: 1 })
  const controller = new AbortController()
  const aborted = database.transaction({ ...app, signal: controller.signal }, async (connection) => {
    await add(connection, 'aborted quietly')
    controller.abort(new Error('changed my mind'))
  })
  await expect(aborted).rejects.toThrow('changed my mind')
  await database.transaction(app, (connection) => add(connection, 'the next user'))
  expect(await names('aborted quietly')).toEqual([])
})

test('a signal ends the wait for a connection', async () => {
  const database = open({ maxConnections: 1, acquireTimeoutMs: 20_000 })
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  const holder = database.transaction(app, () => held)
  await until(() => database.poolUse.idle === 0 && database.poolUse.total === 1)
  const controller = new AbortController()
  const waiting = database.transaction({ ...app, signal: controller.signal }, (connection) =>
    add(connection, 'waiting'),
  )
  setTimeout(() => controller.abort(new Error('too long')), 50)
  await expect(waiting).rejects.toThrow('too long')
  release()
  await holder
  // The connection that came for the one that has gone serves others.
  await database.transaction(app, (connection) => add(connection, 'after the wait'))
  expect(await names('waiting')).toEqual([])
})

test('a signal that was given before anything starts nothing', async () => {
  const database = open()
  const refused = database.transaction(
    { ...app, signal: AbortSignal.abort(new Error('before')) },
    (connection) => add(connection, 'never'),
  )
  await expect(refused).rejects.toThrow('before')
  expect(database.poolUse.total).toBe(0)
})
