import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from 'prom-client'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { readRuns, readSchedule, setSchedule, takeDue } from '../../src/operations/backup/backup-schedule.ts'
import { openBackups } from '../../src/operations/backup/open-backups.ts'
import { createBackupMetrics } from '../../src/telemetry/backup-metrics.ts'
import { createLogger } from '../../src/telemetry/logger.ts'
import { BackupKeeper, type LogStoring } from '../../src/worker/backup-keeper.ts'
import { type BackupSite, openBackupSite } from './backup-fixture.ts'

vi.setConfig({ testTimeout: 180_000 })

let site: BackupSite
const MAIN = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts')

beforeAll(async () => {
  site = await openBackupSite({ backupLogSeconds: 5 })
})
afterAll(() => site[Symbol.asyncDispose]())

/** A keeper that looks often, and what it says of itself. */
function keep(
  changes: { openEngine?: () => Promise<LogStoring>; maxWaitingBytes?: number; nowMs?: number } = {},
) {
  const registry = new Registry()
  const { config } = site
  const environment = [
    `NOMALY_DATA_DIR=${config.dataDirectory}`,
    `NOMALY_BACKUP_TARGET=${config.backupTarget}`,
    `NOMALY_BACKUP_LOG_SECONDS=5`,
  ]
  const keeper = new BackupKeeper({
    database: site.instance.store.database,
    directory: join(config.dataDirectory, 'postgres'),
    openEngine: changes.openEngine ?? (() => openBackups(config, { makesKey: false, log: () => {} })),
    command: ['/usr/bin/env', ...environment, process.execPath, MAIN, 'backup', 'create', '--output', 'json'],
    maxWaitingBytes: changes.maxWaitingBytes ?? 1e9,
    clock: () => changes.nowMs ?? Date.now(),
    logger: createLogger('silent'),
    metrics: createBackupMetrics(registry),
    storeMs: 100,
    scheduleMs: 200,
  })
  const metric = async (name: string): Promise<number | undefined> =>
    (await registry.getSingleMetric(name)!.get()).values[0]?.value
  return { keeper, metric }
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (const giveUpAt = Date.now() + 60_000; !(await isSo()); await sleep(100))
    if (Date.now() > giveUpAt) throw new Error('It did not come to that.')
}

test('of many processes one takes what is due, and full backups come first', async () => {
  const { database } = site.instance.store
  const at = new Date('2026-01-04T00:00:00Z')
  await setSchedule(database, 'full', '0 3 * * 0', at)
  await setSchedule(database, 'differential', '0 3 * * *', at)
  expect(await takeDue(database, new Date('2026-01-04T02:59:00Z'))).toBeUndefined()
  const taken = await Promise.all(
    Array.from({ length: 8 }, () => takeDue(database, new Date('2026-01-04T03:00:01Z'))),
  )
  expect(taken.filter((kind) => kind !== undefined)).toEqual(['full'])
  expect(await readSchedule(database)).toMatchObject([
    { kind: 'full', nextRunAt: '2026-01-11T03:00:00.000Z' },
    { kind: 'differential', nextRunAt: '2026-01-05T03:00:00.000Z' },
  ])
})

test('what is due is made in a process of its own, log is stored by itself, and both are measured', async () => {
  const { database } = site.instance.store
  const { keeper, metric } = keep()
  await using _ = keeper
  await until(async () => (await readRuns(database, 1))[0]?.outcome === 'done')
  await until(async () => (await metric('nomaly_backup_last_timestamp_seconds'))! > Date.now() / 1000 - 300)
  expect(await metric('nomaly_backup_failures')).toBe(0)
  const [lineage] = await readdir(join(site.targetFolder, 'wal'))
  const stored = async (): Promise<number> => (await readdir(join(site.targetFolder, 'wal', lineage!))).length
  const before = await stored()
  // Nothing but the clock of the server finishes this piece of log.
  await site.ask('create table some_log (id int)')
  await until(async () => (await stored()) > before)
  expect(await metric('nomaly_backup_log_stored_timestamp_seconds')).toBeGreaterThan(Date.now() / 1000 - 60)
})

test('while the target is away log waits, up to a limit; then it is let go, and the next backup makes up for it', async () => {
  const { database } = site.instance.store
  let isAway = true
  const failing = keep({
    openEngine: () =>
      isAway
        ? Promise.reject(new Error('away'))
        : openBackups(site.config, { makesKey: false, log: () => {} }),
    maxWaitingBytes: 40_000_000,
  })
  const folder = join(site.config.dataDirectory, 'postgres', 'nomaly-archive')
  const waiting = async (): Promise<number> =>
    (await readdir(folder)).filter((name) => /^[0-9A-F]{24}$/.test(name)).length
  const before = (await readRuns(database, 100)).length
  {
    await using _ = failing.keeper
    await site.ask('create table more_log (id int)')
    await site.ask('select pg_switch_wal()')
    await until(async () => (await waiting()) === 1)
    await until(async () => (await failing.metric('nomaly_backup_log_failures_total'))! > 0)
    expect(await waiting()).toBe(1)
    for (let at = 0; at < 4; at++)
      await site.ask('insert into more_log values (1)').then(() => site.ask('select pg_switch_wal()'))
    await until(async () => (await waiting()) < 3)
    isAway = false
    await until(async () => (await readRuns(database, 100)).length > before)
    await until(async () => (await readRuns(database, 1))[0]?.outcome === 'done')
  }
  // What was let go is a gap before that backup, and is told of; after it everything can be restored.
  const { faults } = await site.engine.verify(undefined, site.work)
  expect(faults.length).toBeGreaterThan(0)
  expect(faults.every(({ reason }) => reason === 'is missing')).toBe(true)
  const { folder: restored } = await site.restore('latest')
  expect(await site.askRestored(restored, 'select count(*)::int4 as n from more_log')).toEqual([{ n: 4 }])
})

test('a backup that fails is noted with its reason, counted, and tried again when it is due', async () => {
  const { database } = site.instance.store
  const note = join(site.targetFolder, 'nomaly-backups.json')
  const text = await readFile(note, 'utf8')
  await writeFile(note, '{"format":1,"systemId":"7"}')
  const { keeper, metric } = keep({ nowMs: Date.parse('2027-01-04T03:00:01Z') })
  {
    await using _ = keeper
    await until(async () => (await metric('nomaly_backup_failures')) === 1)
  }
  expect((await readRuns(database, 1))[0]).toMatchObject({
    outcome: 'failed',
    reason: expect.stringContaining('backups of another database'),
  })
  await writeFile(note, text)
  await rm(join(site.parent, 'restored-1'), { recursive: true, force: true })
})
