import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compressDue } from '../../src/metrics/timescale-compression.ts'
import { drillInstallation } from '../../src/operations/backup/drill/drill-installation.ts'
import { readBackupState } from '../../src/operations/backup/drill/restore-drills.ts'
import { ScratchServer } from '../../src/operations/backup/drill/scratch-server.ts'
import { openServerBackups } from '../../src/operations/backup/open-server-backups.ts'
import { type CliResult, runCli } from '../cli/run-cli.ts'
import type { TestNomaly } from '../support/nomaly.ts'
import { ArchivedInstallation } from './archived-installation.ts'
import { askDatabase, DetectedFixture } from './detected-fixture.ts'

const signal = new AbortController().signal

let installation: ArchivedInstallation
let fixture: DetectedFixture
let nomaly: TestNomaly

beforeAll(async () => {
  installation = await ArchivedInstallation.start()
}, 600_000)

afterAll(() => installation?.[Symbol.asyncDispose]())

test('the server is made ready, and then a backup is made', async () => {
  const { archived, backups, repository } = installation
  await expect(backups.engines[0]!.create({ kind: 'full', signal })).rejects.toThrow(/started anew/)
  await archived.restart()
  nomaly = await installation.startNomaly()
  expect(nomaly.store.metrics.name).toBe(archived.hasTimescale ? 'timescale' : 'partitioned')
  const seen: number[] = []
  const backup = await backups.engines[0]!.create({
    kind: 'full',
    signal,
    progress: ({ doneBytes }) => seen.push(doneBytes),
  })
  expect(backup).toMatchObject({ kind: 'full', postgresMajor: 15, restorePoint: `nomaly-${backup.id}` })
  expect(seen.length).toBeGreaterThan(10)
  const listed = await backups.engines[0]!.list(signal)
  expect(listed).toMatchObject([{ id: backup.id, databaseBytes: backup.databaseBytes }])
  // Nothing in the repository can be read without the key, which is not there.
  const info = readFileSync(join(repository, 'backup', 'nomaly', 'backup.info'))
  expect(info.toString('latin1')).not.toContain('backup:current')
}, 120_000)

test('everything that was committed comes back, and detectors find the same in it', async () => {
  const { archived, backups, config } = installation
  fixture = await DetectedFixture.start(nomaly)
  for (let more = true; more; more = (await nomaly.store.metrics.rollUp(new Date())).hasMore);
  if (archived.hasTimescale)
    expect(await compressDue(nomaly.store.metricsDatabase, 'forever', Date.UTC(2200, 0), 1)).toBeGreaterThan(
      0,
    )
  const { report, files } = await drillInstallation({
    config,
    site: backups.site,
    engine: backups.engines[0]!,
    databaseUrl: config.databaseUrl,
    clock: Date.now,
    signal,
    log: (message) => expect.fail(message),
  })
  expect(report.failure).toBeUndefined()
  expect(report.checks.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
  expect(report.verdict).toBe('proven')
  expect(report.checks.find(({ check }) => check === 'golden hour')!.says).toMatch(/of 6 series/)
  expect(Date.parse(report.recoveredTo!)).toBeGreaterThan(Date.parse(report.startedAt) - 60_000)
  expect(report.rtoSeconds).toBeGreaterThan(0)
  expect(readFileSync(files.markdown, 'utf8')).toMatch(/^# Restore drill: proven/)

  const { lastProven, sightings } = await readBackupState(nomaly.store.database)
  expect(lastProven).toMatchObject({ id: report.id, engine: 'pgbackrest' })
  expect(sightings).toMatchObject([{ engine: 'pgbackrest', problem: null }])
  const metrics = await (await fetch(`${nomaly.url}/metrics`)).text()
  expect(metrics).toMatch(/nomaly_backup_age_seconds\{engine="pgbackrest"\} \d/)
  expect(metrics).toMatch(/nomaly_restore_drill_passed\{engine="pgbackrest"\} 1/)
  // Nothing of it is left.
  expect(readdirSync(join(archived.folder, 'nomaly-restore-drills'))).toEqual([])
}, 120_000)

test('just before a table was dropped under load: every row, every checksum', async () => {
  const { adminUrl, archived, source } = installation
  const checksum =
    "select count(*)::int as rows, md5(string_agg(a::text, '|' order by id)) as sum from nomaly.anomalies a"
  const loading = fixture.load(30)
  const [before] = await askDatabase<{ rows: number; sum: string }>(adminUrl, checksum)
  expect(before!.rows).toBeGreaterThan(0)
  const [at] = await askDatabase<{ lsn: string }>(adminUrl, 'select pg_current_wal_insert_lsn()::text as lsn')
  await askDatabase(adminUrl, 'alter table nomaly.anomalies rename to anomalies_kept')
  await askDatabase(adminUrl, 'create table nomaly.anomalies (like nomaly.anomalies_kept)')
  await askDatabase(adminUrl, 'drop table nomaly.anomalies')
  await askDatabase(adminUrl, 'alter table nomaly.anomalies_kept rename to anomalies')
  await loading
  await source.flush(signal)

  const folder = join(archived.folder, 'restored')
  const restored = await source.engine.restoreInto(folder, { kind: 'lsn', lsn: at!.lsn }, { signal })
  await using server = await ScratchServer.start(folder, restored.directory, await source.program(), signal)
  expect(await askDatabase(server.url('product'), checksum)).toEqual([before])
}, 120_000)

test('the commands work on it as on the embedded one', async () => {
  const { adminUrl, archived, config, repository } = installation
  const backup = (...args: string[]): Promise<CliResult> =>
    runCli(['backup', ...args], {
      env: {
        NOMALY_DATA_DIR: config.dataDirectory,
        DATABASE_URL: config.databaseUrl!,
        ADMIN_DATABASE_URL: adminUrl,
        NOMALY_PGBACKREST_REPO: repository,
      },
    })
  const made = await backup('create', '--kind', 'differential', '-o', 'json')
  expect(made).toMatchObject({ code: 0, err: '' })
  const [{ id }] = JSON.parse(made.out) as [{ id: string }]
  expect(await backup('list')).toMatchObject({ code: 0, out: expect.stringContaining(id) })
  expect(await backup('verify')).toMatchObject({
    code: 0,
    out: expect.stringMatching(/2 backups.*as it was/),
  })
  expect(await backup('restore')).toMatchObject({ code: 1, err: expect.stringContaining('--into') })
  const into = join(archived.folder, 'by-command')
  const restored = await backup('restore', '--into', into, '--backup', id)
  expect(restored).toMatchObject({ code: 0, out: expect.stringContaining(join(into, 'postgres')) })
  const [run] = await askDatabase(adminUrl, 'select kind, outcome, backup_id from nomaly.backup_runs')
  expect(run).toEqual({ kind: 'differential', outcome: 'done', backup_id: id })
}, 120_000)

describe('what is wrong in the repository', () => {
  test('nothing, as long as everything is as it was written', async () => {
    const { engine } = installation.source
    const listed = await engine.list(signal)
    expect(listed.map(({ kind }) => kind)).toEqual(['full', 'differential'])
    expect(listed[1]!.baseId).toBe(listed[0]!.id)
    const report = await engine.verify(undefined, { signal })
    expect(report).toMatchObject({ backups: 2, faults: [] })
    expect(report.files).toBeGreaterThan(900)
  }, 60_000)

  test('a file that was altered by one byte is found, and named', async () => {
    const { engine } = installation.source
    const [full] = await engine.list(signal)
    const folder = join(installation.repository, 'backup', 'nomaly', full!.id)
    const path = join(folder, 'pg_data', 'base', '1', '1255.zst')
    const whole = readFileSync(path)
    const spoilt = Buffer.from(whole)
    spoilt[2_000]! ^= 1
    writeFileSync(path, spoilt)
    try {
      const { faults } = await engine.verify(undefined, { signal })
      expect(faults).toMatchObject([
        {
          backupId: full!.id,
          file: expect.stringContaining('base/1/1255.zst'),
          reason: expect.stringMatching(/not as it was/),
        },
      ])
    } finally {
      writeFileSync(path, whole)
    }
  }, 60_000)

  test('a segment of the log that is missing is found, and the drill goes red', async () => {
    const { engine, flush } = installation.source
    await flush(signal)
    await flush(signal)
    const { lost, giveBack } = loseSegment()
    try {
      const { faults } = await engine.verify(undefined, { signal })
      expect(faults).toMatchObject([{ file: lost, reason: 'is missing from the log' }])
      const report = await installation.drill()
      expect(report.verdict).toBe('failed')
      expect(report.failure).toMatchObject({
        message: expect.stringMatching(/recovery ended before configured recovery target/),
        hint: expect.stringMatching(/piece of the log is missing/),
      })
    } finally {
      giveBack()
    }
  }, 120_000)

  test('a wrong key is told, and shows nothing', async () => {
    const other = await openServerBackups(
      { ...installation.config, pgbackrestCipherPass: 'another' },
      () => {},
    )
    await expect(other.engines[0]!.list(signal)).rejects.toThrow(/cannot read the repository/)
    // And archiving goes on with the right one.
    await installation.source.flush(signal)
  })
})

// Slower, and of what is rare.
test.runIf(process.env['NOMALY_TEST_SCENARIOS'] === '1')(
  'without a target PostgreSQL takes a gap for the end, and the drill does not',
  async () => {
    const { giveBack } = loseSegment()
    try {
      const report = await installation.drill({ target: { kind: 'latest' } })
      expect(report.verdict).toBe('failed')
      expect(report.checks.find(({ check }) => check === 'log')).toMatchObject({
        verdict: 'fail',
        says: expect.stringMatching(/one before them is missing/),
      })
    } finally {
      giveBack()
    }
  },
  120_000,
)

test.runIf(process.env['NOMALY_TEST_SCENARIOS'] === '1')(
  'where the server is gone, what is stored is put to the proof',
  async () => {
    await nomaly[Symbol.asyncDispose]()
    await installation.archived.server.kill()
    const report = await installation.drill()
    expect(report.failure).toBeUndefined()
    expect(report.target).toEqual({ kind: 'latest' })
    expect(report.checks.filter(({ verdict }) => verdict === 'fail')).toEqual([])
  },
  120_000,
)

/** Takes the newest segment but one out of the repository. */
function loseSegment(): { readonly lost: string; giveBack(): void } {
  const folder = join(installation.repository, 'archive', 'nomaly', '15-1')
  const [part] = readdirSync(folder).filter((name) => /^[0-9A-F]{16}$/.test(name))
  const segments = readdirSync(join(folder, part!)).filter((name) => name.endsWith('.zst'))
  const lost = segments.toSorted().at(-2)!
  const [there, away] = [join(folder, part!, lost), join(installation.archived.folder, lost)]
  renameSync(there, away)
  return { lost: lost.slice(0, 24), giveBack: () => renameSync(away, there) }
}
