import { execFile } from 'node:child_process'
import { chmod, chown, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import type { Config } from '../../src/config/profiles.ts'
import { urlForLogin } from '../../src/operations/connection-urls.ts'
import { LedgerFile } from '../../src/operations/erasure/ledger-file.ts'
import { resolveSeries, resolveTenant, resolveUser } from '../../src/operations/erasure/resolve-subject.ts'
import { migrateInstance, openInstance } from '../../src/operations/open-instance.ts'
import { fillTenant, SECRET } from '../api/tenant-fixture.ts'
import { eventually, startTestNomaly, testConfig, type TestNomaly } from '../support/nomaly.ts'
import { startTestServer, type TestServer } from '../support/postgres.ts'
import { startTestRedis } from '../support/redis.ts'
import { connectAdmin, dumpDatabase, openEraser, plantSeries, WORK } from './eraser-fixture.ts'
import { asStored, filesWith } from './files-with.ts'

const LOGIN = { name: 'nomaly_test', password: 'test' }
const SERIES = 'kingfisher-series'
const PERSON = 'wagtail-person'
const NUMBER = 8.765_432_1e123
const MARKERS: Readonly<Record<string, Buffer>> = {
  series: Buffer.from(SERIES),
  number: asStored(NUMBER),
  person: Buffer.from(PERSON),
  tenant: Buffer.from(SECRET),
}

/** A hot copy of a data folder, as a backup of it has: what is in it now, and the log that it needs (PostgreSQL manual, 26.3.4). */
async function copyFolder(server: TestServer, admin: pg.Client, to: string): Promise<void> {
  const copy = async (from: string, target: string): Promise<void> => {
    // It keeps owners. Files that go meanwhile are the log's to bring back.
    await promisify(execFile)('cp', ['-a', from, target]).catch((error: Error) => {
      if (!/No such file/.test(error.message)) throw error
    })
  }
  await admin.query("select pg_backup_start('test', true)")
  await copy(server.folder, to)
  const { rows } = await admin.query<{ labelfile: string }>('select labelfile from pg_backup_stop(false)')
  for (const name of ['owner.json', 'postgres-port.json', 'postgres/postmaster.pid', 'postgres/pg_wal'])
    await rm(join(to, name), { recursive: true, force: true })
  await copy(join(server.directory, 'pg_wal'), join(to, 'postgres', 'pg_wal'))
  const label = join(to, 'postgres', 'backup_label')
  await writeFile(label, rows[0]!.labelfile)
  const { uid, gid } = await stat(join(to, 'postgres'))
  await chown(label, uid, gid)
}

const NOTHING = { series: [], number: [], person: [], tenant: [] }

/** Files of tables with the name of what is in them. */
async function nameTables(
  admin: pg.Client,
  found: Readonly<Record<string, string[]>>,
): Promise<Record<string, string[]>> {
  const named: Record<string, string[]> = {}
  for (const [marker, files] of Object.entries(found)) {
    named[marker] = []
    for (const file of files) {
      const number = /^base\/\d+\/(\d+)/.exec(file)?.[1]
      const { rows } = await admin.query<{ name: string | null }>(
        'select pg_filenode_relation(0, $1::oid)::text as name',
        [number ?? 0],
      )
      named[marker].push(`${file} ${rows[0]!.name ?? ''}`.trim())
    }
  }
  return named
}

async function plantPerson(nomaly: TestNomaly, admin: pg.Client): Promise<void> {
  const { key } = (await nomaly.request('POST', '/v1/keys', { body: { name: PERSON, role: 'admin' } })).body
  const by = (method: string, path: string, body?: unknown) =>
    nomaly.request(method, path, { key, ...(body === undefined ? {} : { body }) })
  await by('POST', '/v1/datasets', { name: 'hers' })
  await by('POST', '/v1/flags', { key: 'her-flag' })
  await by('PUT', '/v1/webhook', { url: 'http://127.0.0.1:1/hook' })
  const { body } = await by('POST', '/v1/sign-in-links')
  await nomaly.request('GET', body.path, { key: '' })
  const { rows } = await admin.query<{ count: number }>(
    'select count(*)::int as count from nomaly.audit_log where actor = $1',
    [`key:${PERSON}`],
  )
  expect(rows[0]!.count).toBeGreaterThanOrEqual(3)
}

test(
  'what is erased is found before and nowhere after: by query, in files, in the log, in Redis; nor after a restore from before',
  { timeout: 180_000 },
  async () => {
    await using server = await startTestServer()
    await using redis = await startTestRedis({
      arguments: ['--appendonly', 'yes', '--save', '3600 1 1 1000000'],
    })
    await migrateInstance({ adminUrl: server.adminUrl, applicationLogin: LOGIN }, 'partitioned', () => {})
    const databaseUrl = urlForLogin(server.adminUrl, LOGIN.name, LOGIN.password)
    const parent = await mkdtemp(join(tmpdir(), 'w-erase-'))
    // The servers' user must pass through when root runs the tests.
    await chmod(parent, 0o711)
    onTestFinished(() => rm(parent, { recursive: true, force: true }))
    const settings: Partial<Config> = {
      databaseUrl,
      adminDatabaseUrl: server.adminUrl,
      redisUrl: redis.url,
      erasureLedger: join(parent, 'ledger', 'erasures.ndjson'),
    }
    const admin = await connectAdmin(server.adminUrl)
    const nomaly = await startTestNomaly({
      on: { database: { adminUrl: server.adminUrl } as TestNomaly['database'], databaseUrl },
      config: settings,
    })
    onTestFinished(() => nomaly[Symbol.asyncDispose]())
    const scope = { tenantId: nomaly.tenant.tenantId }
    // A process that has just loaded everything may find itself too busy for a moment.
    await eventually(async () => (await nomaly.request('GET', '/v1/datasets')).status === 200)
    const other = await nomaly.createTenant(SECRET)
    await fillTenant(nomaly, admin, other)
    const { series } = await plantSeries(nomaly.store, scope, 'planted', {
      [SERIES]: Array.from({ length: 500 }, () => NUMBER),
      kept: Array.from({ length: 500 }, (_, index) => index),
    })
    await plantPerson(nomaly, admin)
    // What is asked is kept in Redis.
    for (const [key, id] of [
      [nomaly.tenant.key, series.get(SERIES)!],
      [other.key, (await nomaly.store.metrics.listSeries({ tenantId: other.tenantId }, {}))[0]!.id],
    ] as const)
      await nomaly.request('POST', '/v1/query', {
        key,
        body: { series: [id], from: '2020-01-01', to: '2030-01-01', bucket: { unit: 'day' } },
      })
    await admin.query('analyze; checkpoint')

    const inFiles = async (folder: string): Promise<Record<string, string[]>> =>
      Object.fromEntries(
        await Promise.all(
          Object.entries(MARKERS).map(async ([name, marker]) => [name, await filesWith(folder, marker)]),
        ),
      )
    const before = await inFiles(server.directory)
    for (const [name, files] of Object.entries(before)) {
      expect(files.filter((file) => file.startsWith('base/')).length, `${name} in tables`).toBeGreaterThan(0)
      expect(files.filter((file) => file.startsWith('pg_wal/')).length, `${name} in the log`).toBeGreaterThan(
        0,
      )
    }
    const text = await dumpDatabase(admin)
    for (const word of [SERIES, PERSON, SECRET]) expect(text).toContain(word)
    const cached = async (): Promise<string[]> =>
      ((await redis.send(['KEYS', `nomaly:*${other.tenantId}*`])) as string[]).toSorted()
    expect((await cached()).length).toBeGreaterThan(0)
    expect(await filesWith(redis.folder, Buffer.from(other.tenantId))).not.toEqual([])
    const restored = join(parent, 'restored')
    await copyFolder(server, admin, restored)

    const config = testConfig(settings)
    const eraser = await openEraser(config)
    const { site } = eraser
    const receipts = [
      await eraser.erase(
        await resolveSeries(site.core, site.metrics.admin, [series.get(SERIES)!], undefined),
        'operator:test',
        WORK,
      ),
      await eraser.erase(await resolveUser(site.core, PERSON, undefined), 'operator:test', WORK),
      await eraser.erase(await resolveTenant(site.core, SECRET), 'operator:test', WORK),
    ]

    for (const receipt of receipts) {
      expect(receipt.left, receipt.kind).toEqual([])
      expect(receipt.writeAheadLogs).toEqual([
        { database: 'core', segments: expect.any(Number), isClean: true },
      ])
    }
    expect(receipts[0]!.removed).toMatchObject({ series: 1, points: 500 })
    expect(receipts[1]!.removed).toMatchObject({ keys: 1, sessions: 1 })
    expect(receipts[2]!.removed['nomaly.tenants']).toBe(1)
    expect(await nameTables(admin, await inFiles(server.directory))).toEqual(NOTHING)
    const after = await dumpDatabase(admin)
    for (const word of [SERIES, PERSON, SECRET]) expect(after).not.toContain(word)
    expect(await cached()).toEqual([])
    expect(await filesWith(redis.folder, Buffer.from(other.tenantId))).toEqual([])
    expect(await filesWith(join(parent, 'ledger'), Buffer.from(PERSON))).toEqual([])

    // What stays is as it was, and is at work.
    const kept = await nomaly.store.metrics.latest(scope, [series.get('kept')!])
    expect(kept).toMatchObject([{ value: 499 }])
    expect((await nomaly.request('GET', '/v1/datasets', { key: other.key })).status).toBe(401)
    expect(
      (await nomaly.request('GET', '/v1/datasets')).body.items.map(({ name }: { name: string }) => name),
    ).toEqual(expect.arrayContaining(['hers', 'planted']))
    await nomaly[Symbol.asyncDispose]()

    expect((await inFiles(restored))['person']).not.toEqual([])
    const said: string[] = []
    const instance = await openInstance(
      testConfig({
        dataDirectory: restored,
        erasureLedger: settings.erasureLedger!,
        embeddedDatabasePort: server.port + 1,
      }),
      'test',
      (line) => said.push(line),
    )
    onTestFinished(() => instance[Symbol.asyncDispose]())
    expect(said.join('\n')).toContain('3 erasures were done again')
    const again = await connectAdmin(instance.embedded!.adminUrl)
    const dump = await dumpDatabase(again)
    for (const word of [SERIES, PERSON, SECRET]) expect(dump).not.toContain(word)
    expect(dump).toContain('her-flag')
    expect(await inFiles(join(restored, 'postgres'))).toEqual({
      series: [],
      number: [],
      person: [],
      tenant: [],
    })
    expect(await new LedgerFile(settings.erasureLedger!).read()).toHaveLength(3)
  },
)
