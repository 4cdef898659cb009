import { rename } from 'node:fs/promises'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { listRestoreReports } from '../../src/operations/backup/drill/restore-report.ts'
import type { RestoreDrillReport } from '../../src/operations/backup/drill/run-restore-drill.ts'
import { type CliResult, runCli } from '../cli/run-cli.ts'
import { startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { type BackupSite, openBackupSite } from './backup-fixture.ts'
import { DetectedFixture } from './detected-fixture.ts'

let site: BackupSite
let nomaly: TestNomaly

beforeAll(async () => {
  site = await openBackupSite()
  const { adminUrl, instance } = site
  const database = { adminUrl, name: 'postgres', drop: async () => {}, [Symbol.asyncDispose]: async () => {} }
  // What tests are given is called so.
  await site.ask("update nomaly.tenants set name = 'first' where name = 'default'")
  nomaly = await startTestNomaly({ on: { database, databaseUrl: instance.databaseUrl } })
  await site.engine.create({ kind: 'full', ...site.work })
  await DetectedFixture.start(nomaly)
}, 120_000)

afterAll(async () => {
  await nomaly?.[Symbol.asyncDispose]()
  await site?.[Symbol.asyncDispose]()
})

function drill(...args: string[]): Promise<CliResult> {
  return runCli(['backup', 'drill', ...args], {
    env: {
      NOMALY_DATA_DIR: site.config.dataDirectory,
      NOMALY_BACKUP_TARGET: site.targetFolder,
      NOMALY_EMBEDDED_DATABASE_PORT: String(site.config.embeddedDatabasePort),
      NOMALY_DRILL_DIR: site.parent,
    },
  })
}

test('a backup of the embedded database is proven while it runs, and the report is kept', async () => {
  const { code, out, err } = await drill('--output', 'json')
  const report = JSON.parse(out) as RestoreDrillReport
  expect(report.failure).toBeUndefined()
  expect(report.checks.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
  expect({ code, verdict: report.verdict }).toEqual({ code: 0, verdict: 'proven' })
  expect(report.checks.find(({ check }) => check === 'golden hour')!.says).toMatch(/of 6 series/)
  expect(err).toMatch(/Kept as .*restore-.*\.md/)
  expect(await listRestoreReports(site.config.dataDirectory)).toMatchObject([{ id: report.id }])
  // The next one looks whether what this one saw is still so.
  const again = await drill('--output', 'json')
  const { checks } = JSON.parse(again.out) as RestoreDrillReport
  expect(checks.find(({ check }) => check === 'audit log')!.says).toMatch(/exactly the same/)
  expect((await drill('--list')).out).toContain('proven')
}, 120_000)

test('a piece of the log that is missing turns it red', async () => {
  await site.engine.flush(site.work.signal)
  await site.ask('create table something as select generate_series(1, 10) as n')
  await site.engine.flush(site.work.signal)
  const files = readdirSync(site.targetFolder, { recursive: true, encoding: 'utf8' })
  const segments = files.filter((name) => /(?:^|\/)[0-9A-F]{24}/.test(name)).toSorted()
  const lost = join(site.targetFolder, segments.at(-2)!)
  await rename(lost, join(site.parent, 'lost'))
  try {
    const { code, out } = await drill()
    expect(out).toMatch(/Restore drill: failed/)
    expect(code).toBe(1)
  } finally {
    await rename(join(site.parent, 'lost'), lost)
  }
}, 120_000)
