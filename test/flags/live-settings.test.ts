import { expect, test } from 'vitest'
import { LIVE_SETTINGS } from '../../src/flags/setting-catalogue.ts'
import { followLogLevel } from '../../src/operations/follow-log-level.ts'
import { openStore } from '../../src/store/open-store.ts'
import type { Store } from '../../src/store/store.ts'
import { createLogger } from '../../src/telemetry/logger.ts'
import { pruneHistory } from '../../src/store/relay.ts'
import { openTestStore } from '../store/store-fixture.ts'
import { createMigratedDatabase, eventually, startTestNomaly, testConfig } from '../support/nomaly.ts'

const actor = 'operator'

async function set(store: Store, name: string, value: unknown): Promise<void> {
  await store.liveSettings.operate((desk) => desk.set(name, value, { actor }))
}

test('each live setting says what it may be, has a default that it may be, and takes its bounds and nothing beyond', async () => {
  const { store } = await openTestStore()
  expect(LIVE_SETTINGS.length).toBeGreaterThanOrEqual(8)
  for (const setting of LIVE_SETTINGS) {
    const { name, kind } = setting
    const [good, bad] =
      kind.type === 'choice'
        ? [kind.choices, ['', 'other', 1, null]]
        : kind.type === 'integer'
          ? [
              [kind.min, kind.max, String(kind.min)],
              [kind.min - 1, kind.max + 1, kind.min + 0.5, 'x', '', null, true],
            ]
          : [[], []]
    for (const value of good) {
      await set(store, name, value)
      expect(String(store.liveSettings.state(setting).value)).toBe(String(value))
    }
    for (const value of bad)
      await expect(set(store, name, value), `${name} ${value}`).rejects.toMatchObject({
        code: 'invalid_input',
      })
    await store.liveSettings.operate((desk) => desk.reset(name, { actor }))
    const state = store.liveSettings.state(setting)
    expect(state).toMatchObject({ value: state.fallback, isChanged: false })
  }
  expect(store.liveSettings.values.logLevel).toBe(testConfig().logLevel)
})

test('another process follows a setting, and goes back with a revert', async () => {
  const { store, another } = await openTestStore()
  const other = await another()
  const logger = createLogger('fatal')
  followLogLevel(logger, other.liveSettings)
  await set(store, 'log-level', 'debug')
  await eventually(async () => logger.level === 'debug')
  await set(store, 'log-level', 'silent')
  await eventually(async () => logger.level === 'silent')
  await store.liveSettings.operate((desk) =>
    desk.revert('log-level', undefined, { actor, note: 'too quiet' }),
  )
  await eventually(async () => logger.level === 'debug')
  await store.liveSettings.operate((desk) => desk.revert('log-level', 0, { actor }))
  await eventually(async () => logger.level === 'fatal')
  await expect(
    store.liveSettings.operate((desk) => desk.revert('log-level', 9, { actor })),
  ).rejects.toMatchObject({
    code: 'not_found',
  })
  const { items } = await store.liveSettings.operate((desk) => desk.history('log-level', { limit: 10 }))
  expect(items.map(({ version, value, revertedTo }) => [version, value, revertedTo])).toEqual([
    [4, undefined, 0],
    [3, 'debug', 1],
    [2, 'silent', null],
    [1, 'debug', null],
  ])
})

test('the longest time of a statement is the one that holds when it is run', async () => {
  const { store } = await openTestStore()
  const sleep = (): Promise<unknown> =>
    store.database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
      connection.query('select pg_sleep(1)'),
    )
  await set(store, 'statement-timeout-ms', 200)
  await expect(sleep()).rejects.toMatchObject({ code: 'timeout' })
  await set(store, 'statement-timeout-ms', 30_000)
  await sleep()
})

test('slow statements are logged from the moment on that the setting says so, without their values', async () => {
  const { database, databaseUrl } = await createMigratedDatabase()
  const lines: string[] = []
  {
    await using store = await openStore(testConfig({ slowStatementMs: 0 }), databaseUrl, (line) =>
      lines.push(line),
    )
    const ask = (): Promise<unknown> =>
      store.database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
        connection.query("select pg_sleep(0.2), 'it''s one', $1::text", ['a secret']),
      )
    await ask()
    expect(lines).toEqual([])
    await set(store, 'slow-statement-ms', 150)
    await ask()
    expect(lines.filter((line) => line.includes('pg_sleep'))).toEqual([
      expect.stringMatching(/^A statement took \d+ ms: select pg_sleep\(0\.2\), '\?', \$1::text$/),
    ])
    await set(store, 'slow-statement-ms', 0)
    await ask()
    expect(lines.filter((line) => line.includes('pg_sleep'))).toHaveLength(1)
  }
  await database.drop()
})

test('events are kept as long as the setting says when they are removed', async () => {
  const { store, scope, admin } = await openTestStore()
  await admin(
    `insert into nomaly.events (tenant_id, topic, payload, published_at)
     select $1, 'job', '{}', now() - make_interval(hours => hours) from generate_series(1, 100) hours`,
    [scope.tenantId],
  )
  const prune = async (): Promise<number> => {
    await pruneHistory(store.database, store.liveSettings.values.eventRetentionHours)
    const [row] = await admin<{ count: number }>('select count(*)::int as count from nomaly.events')
    return row!.count
  }
  // The newest of a tenant stays whatever its age: the number that listeners go on from. It is the oldest of these here.
  await set(store, 'event-retention-hours', 72)
  expect(await prune()).toBe(71 + 1)
  await set(store, 'event-retention-hours', 5)
  expect(await prune()).toBe(4 + 1)
})

test('limits of requests change under a server that runs', async () => {
  await using nomaly = await startTestNomaly({ worker: false })
  await nomaly.request('POST', '/v1/datasets', { body: { name: 'shop' } })
  const points = Array.from({ length: 5 }, (_, index) => ({
    time: 1_767_225_600_000,
    metric: `m${index}`,
    value: 1,
  }))
  const send = async (): Promise<number> =>
    (await nomaly.request('POST', '/v1/datasets/shop/points', { body: points })).status
  expect(await send()).toBe(200)
  await set(nomaly.store, 'max-series-per-request', 4)
  expect(await send()).toBe(413)
  await set(nomaly.store, 'max-series-per-request', 5)
  expect(await send()).toBe(200)
  const long = `${JSON.stringify(points)}${' '.repeat(2_000)}`
  const sendLong = async (): Promise<number> =>
    (
      await nomaly.request('POST', '/v1/datasets/shop/points', {
        body: long,
        headers: { 'content-type': 'application/json' },
      })
    ).status
  expect(await sendLong()).toBe(200)
  await set(nomaly.store, 'max-body-bytes', 1_024)
  expect(await sendLong()).toBe(413)
})

test('a value of another version of the product that does not fit here is left out, and said', async () => {
  const { database, databaseUrl } = await createMigratedDatabase()
  const lines: string[] = []
  {
    await using store = await openStore(testConfig(), databaseUrl, (line) => lines.push(line))
    await set(store, 'max-body-bytes', 2_048)
    await store.database.transaction({ role: 'nomaly_system' }, (connection) =>
      connection.query(
        "update nomaly.live_entries set version = 2, value = '-1' where key = 'max-body-bytes'",
      ),
    )
    await store.flags.refresh()
    expect(store.liveSettings.values.maxBodyBytes).toBe(testConfig().maxBodyBytes)
    expect(lines.join('\n')).toContain('The live setting max-body-bytes is left at its default')
  }
  await database.drop()
})
