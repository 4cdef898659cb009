import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from 'pg'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { embeddedSettings } from '../../src/database/embedded-settings.ts'
import { quoteSetting } from '../../src/database/server-settings.ts'
import { startEmbeddedServer } from '../../src/database/embedded-server.ts'
import { showEmbeddedTuning, tuneEmbedded } from '../../src/operations/open-operations.ts'
import { DECIDED_VALUES } from '../../src/operations/tune/decided-values.ts'
import { parseMemory } from '../../src/operations/tune/parse-memory.ts'
import { planServer, type ServerPlan } from '../../src/operations/tune/server-plan.ts'
import { isAtValue, readServerValues } from '../../src/operations/tune/server-values.ts'
import { connectionsFor, tuneServer } from '../../src/operations/tune/tune-server.ts'
import { explainSettings, toStatements } from '../../src/operations/tune/tuning.ts'
import { useEmbeddedFixture } from '../support/embedded-fixture.ts'
import { startTestServer, type TestServer } from '../support/postgres.ts'

const MIB = 1024 ** 2
const SMALL: ServerPlan = {
  memoryBytes: 1024 * MIB,
  processors: 2,
  maxConnections: 120,
  role: 'replica',
  storage: 'ssd',
}

function valueOf(settings: readonly { name: string; value: string }[], name: string): string {
  return settings.find((each) => each.name === name)!.value
}

function mib(settings: readonly { name: string; value: string }[], name: string): number {
  return Number.parseInt(valueOf(settings, name), 10)
}

describe('the settings of a server of its own', () => {
  test('stay within its memory and processors, whatever these are', () => {
    fc.assert(
      fc.property(
        fc.record({
          memoryMib: fc.integer({ min: 128, max: 4_000_000 }),
          processors: fc.integer({ min: 1, max: 256 }),
          maxConnections: fc.integer({ min: 20, max: 3_000 }),
          role: fc.constantFrom('primary' as const, 'replica' as const),
          storage: fc.constantFrom('ssd' as const, 'disk' as const),
        }),
        ({ memoryMib, ...rest }) => {
          const settings = planServer({ memoryBytes: memoryMib * MIB, ...rest })
          expect(mib(settings, 'shared_buffers')).toBeLessThanOrEqual(memoryMib / 4 + 1)
          expect(mib(settings, 'effective_cache_size')).toBeLessThan(memoryMib)
          expect(mib(settings, 'maintenance_work_mem')).toBeLessThanOrEqual(Math.max(32, memoryMib / 16 + 1))
          const sorts = mib(settings, 'work_mem') * rest.maxConnections
          expect(sorts).toBeLessThanOrEqual(
            Math.max(4 * rest.maxConnections, memoryMib / 4 + rest.maxConnections),
          )
          expect(Number(valueOf(settings, 'max_parallel_workers_per_gather'))).toBeLessThanOrEqual(
            rest.processors,
          )
          const names = settings.map(({ name }) => name)
          expect(new Set(names).size).toBe(names.length)
        },
      ),
    )
  })

  test('of a replica are all of a primary, and more', () => {
    const primary = planServer({ ...SMALL, role: 'primary' })
    const replica = planServer(SMALL)
    for (const { name, value } of primary) expect(valueOf(replica, name)).toBe(value)
    expect(replica.length).toBeGreaterThan(primary.length)
    expect(valueOf(replica, 'wal_retrieve_retry_interval')).toBe('500ms')
  })

  test('have room for what all processes may open', () => {
    const config = loadConfig({
      DATABASE_URL: 'postgresql://db/nomaly',
      METRICS_DATABASE_URL: 'postgresql://db/metrics',
      NOMALY_DATABASE_POOL_SIZE: '20',
      NOMALY_DATABASE_POOL_OVERFLOW: '30',
      NOMALY_METRICS_DATABASE_POOL_SIZE: '10',
      NOMALY_METRICS_DATABASE_POOL_OVERFLOW: '20',
    })
    // More than the 200 of the architecture decision.
    expect(connectionsFor(config, 3)).toBeGreaterThanOrEqual(3 * (50 + 30 + 4))
    expect(connectionsFor(config, 6)).toBeGreaterThan(connectionsFor(config, 3) + 3 * 80)
  })
})

test.each([
  ['16GB', 16 * 1024 ** 3],
  ['512 MiB', 512 * MIB],
  ['1.5g', 1536 * MIB],
  ['268435456', 256 * MIB],
])('reads %s as an amount of memory', (text, bytes) => {
  expect(parseMemory(text)).toBe(bytes)
})

test.each(['', 'much', '16 apples', '-4GB', '64MB', '0'])('refuses "%s" as an amount of memory', (text) => {
  expect(() => parseMemory(text)).toThrow(expect.objectContaining({ code: 'invalid_input' }))
})

test('compares values in whatever unit they are written', () => {
  const now = { name: 'x', shown: '', needsRestart: false, isPending: false, source: 'configuration file' }
  const is = (value: string, setting: string, unit: string | null, source = now.source): boolean =>
    isAtValue({ ...now, setting, unit, source }, value)
  expect(is('256MB', '32768', '8kB')).toBe(true)
  expect(is('257MB', '32768', '8kB')).toBe(false)
  expect(is('5min', '300', 's')).toBe(true)
  expect(is('5s', '5000', 'ms')).toBe(true)
  expect(is('2048', '2048', 'B')).toBe(true)
  expect(is('1.1', '1.1', null)).toBe(true)
  expect(is('1.1', '4', null)).toBe(false)
  expect(is('-1', '-1', 'ms')).toBe(true)
  expect(is('-1', '1000', 'ms')).toBe(false)
  // What the server has reckoned for itself from -1.
  expect(is('-1', '512', '8kB', 'default')).toBe(true)
  expect(is('on', 'off', null)).toBe(false)
  expect(is('iso, ymd', 'ISO, YMD', null)).toBe(true)
})

test('each of the eleven values of the decision is answered, log_statement with a refusal', () => {
  expect(DECIDED_VALUES).toHaveLength(11)
  for (const settings of [planServer(SMALL), embeddedSettings({ ...SMALL, isOwn: false })]) {
    const explained = explainSettings(settings)
    expect(explained.slice(0, 11).map(({ name }) => name)).toEqual(DECIDED_VALUES.map(({ name }) => name))
    expect(explained.find(({ name }) => name === 'log_statement')).toMatchObject({
      value: 'none',
      decided: 'all',
      verdict: 'refused',
    })
  }
})

describe('on a real server', () => {
  let server: TestServer
  let client: Client

  beforeAll(async () => {
    server = await startTestServer({ durable: true })
    client = new Client({ connectionString: server.adminUrl })
    client.on('error', () => {})
    await client.connect()
  })

  afterAll(async () => {
    await client?.end()
    await server?.stop()
  })

  test('every statement is taken, and those it says need a restart are those that wait for one', async () => {
    const settings = planServer(SMALL)
    const names = settings.map(({ name }) => name)
    expect([...(await readServerValues(client, names)).keys()].toSorted()).toEqual(names.toSorted())
    const predicted = explainSettings(settings)
    for (const [name, { needsRestart }] of await readServerValues(client, names))
      expect([name, predicted.find((each) => each.name === name)!.needsRestart]).toEqual([name, needsRestart])

    for (const statement of toStatements(predicted, ['test']).split('\n').slice(1))
      await client.query(statement)
    await expect
      .poll(async () => {
        const now = explainSettings(settings, await readServerValues(client, names))
        return now.filter(({ differs, needsRestart }) => differs === true && !needsRestart)
      })
      .toEqual([])
    const waiting = explainSettings(settings, await readServerValues(client, names))
    expect(waiting.filter(({ differs }) => differs).map(({ name }) => name)).toContain('shared_buffers')
  })

  test('the server starts with them, and then has all of them', async () => {
    // The embedded server is started again when it is ended; what was set above holds then.
    await server.kill()
    const url = server.adminUrl
    await expect
      .poll(
        async () => {
          const tuning = await tuneServer(
            // 120 connections, as above.
            loadConfig({ DATABASE_URL: url, NOMALY_DATABASE_POOL_SIZE: '70' }),
            url,
            { role: 'replica', storage: 'ssd', processes: 1, machine: SMALL },
          )
          if (tuning.notAsked !== null) return tuning.notAsked
          const different = tuning.settings.filter(({ differs }) => differs === true)
          return different.map(({ name }) => name)
        },
        { timeout: 20_000, interval: 200 },
      )
      .toEqual([])
  })
})

test('of a server elsewhere it wants to be told how large it is', async () => {
  const url = 'postgresql://nobody@db.example.invalid/nomaly'
  const options = { role: 'primary', storage: 'ssd', processes: 3 } as const
  await expect(
    tuneServer(loadConfig({ DATABASE_URL: url }), url, { ...options, machine: {} }),
  ).rejects.toMatchObject({
    code: 'invalid_input',
    hint: expect.stringContaining('--memory'),
  })
})

describe('the embedded server', () => {
  const fixture = useEmbeddedFixture()

  /** As `nomaly start` leaves it: with a login of the application. */
  async function givenInstallation(): Promise<void> {
    fixture.givenDatabase()
    await writeFile(join(fixture.folder, 'secrets', 'application-password'), 'unused\n')
  }

  test('is given memory of its own: at once what it can, the rest from the next start on', async () => {
    await givenInstallation()
    const config = loadConfig({ NOMALY_DATA_DIR: fixture.folder })
    {
      await using server = await fixture.start()
      expect(server.adopted).toBe(false)
      const before = await showEmbeddedTuning(config)
      expect(before).toMatchObject({ isRunning: true, pending: [], footing: { isOwn: false } })
      expect(before.settings.filter(({ differs }) => differs === true)).toEqual([])

      const tuned = await tuneEmbedded(config, { memoryBytes: 800 * MIB, processors: 1 })
      expect(tuned).toMatchObject({ isRunning: true, footing: { isOwn: true, memoryBytes: 800 * MIB } })
      expect(tuned.applied).toContain('effective_cache_size')
      expect(tuned.pending).toEqual(['shared_buffers'])
      expect(valueOf(tuned.settings, 'shared_buffers')).toBe('100MB')
    }
    await using server = await startEmbeddedServer({
      dataDirectory: fixture.folder,
      preferredPort: fixture.port,
      log: () => {},
    })
    expect(server.adopted).toBe(false)
    const after = await showEmbeddedTuning(config)
    expect(after).toMatchObject({ pending: [], footing: { isOwn: true } })
    expect(after.settings.filter(({ differs }) => differs === true)).toEqual([])
    expect(after.settings.find(({ name }) => name === 'shared_buffers')?.now).toBe('100MB')

    const measured = await tuneEmbedded(config, {})
    expect(measured.footing.isOwn).toBe(false)
    expect(measured.applied).toContain('effective_cache_size')
  })

  test('that does not run has them from its next start on', async () => {
    await givenInstallation()
    await (await fixture.start()).stop()
    const config = loadConfig({ NOMALY_DATA_DIR: fixture.folder })
    const tuned = await tuneEmbedded(config, { memoryBytes: 600 * MIB })
    expect(tuned).toMatchObject({ isRunning: false, applied: [], pending: [] })
    await using server = await fixture.start()
    expect(
      (await showEmbeddedTuning(config)).settings.find(({ name }) => name === 'shared_buffers')?.now,
    ).toBe('75MB')
    expect(server.port).toBe(fixture.port)
  })

  test('is not promised more memory than there is, and there must be one', async () => {
    const config = loadConfig({ NOMALY_DATA_DIR: fixture.folder })
    await expect(tuneEmbedded(config, { memoryBytes: 2 ** 60 })).rejects.toMatchObject({
      code: 'invalid_input',
    })
    await expect(tuneEmbedded(config, {})).rejects.toMatchObject({ code: 'unavailable' })
  })
})

test('a value is quoted where PostgreSQL wants it', () => {
  expect(['on', '256MB', '-1', '0.9', 'iso, ymd', "it's", ''].map(quoteSetting)).toEqual([
    'on',
    '256MB',
    '-1',
    '0.9',
    "'iso, ymd'",
    "'it''s'",
    "''",
  ])
})
