import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openServerBackups } from '../../src/operations/backup/open-server-backups.ts'
import { runRestoreDrill } from '../../src/operations/backup/drill/run-restore-drill.ts'
import { urlForLogin } from '../../src/operations/connection-urls.ts'
import { migrateInstance } from '../../src/operations/open-instance.ts'
import { DetectedFixture } from '../backup/detected-fixture.ts'
import { ArchivedServer } from '../support/archived-server.ts'
import { startTestNomaly, testConfig } from '../support/nomaly.ts'

const LOGIN = { name: 'nomaly', password: 'application' }
const signal = new AbortController().signal

test('core and metrics on two servers come back together, to one restore point', async () => {
  await using stack = new AsyncDisposableStack()
  const [core, metrics] = [stack.use(await ArchivedServer.start()), stack.use(await ArchivedServer.start())]
  const [coreUrl, metricsUrl] = [core.server.adminUrl, metrics.server.adminUrl]
  const application = (url: string): string => urlForLogin(url, LOGIN.name, LOGIN.password)
  const migration = (adminUrl: string) => ({ adminUrl, applicationLogin: LOGIN })
  await migrateInstance(migration(coreUrl), 'auto', () => {}, migration(metricsUrl))
  const config = testConfig({
    dataDirectory: join(core.folder, 'data'),
    databaseUrl: application(coreUrl),
    adminDatabaseUrl: coreUrl,
    metricsDatabaseUrl: application(metricsUrl),
    metricsAdminDatabaseUrl: metricsUrl,
    pgbackrestRepository: join(core.folder, 'repository'),
  })
  const { engines, site } = await openServerBackups(config, () => {})
  expect(engines).toHaveLength(2)
  for (const [at, server] of [core, metrics].entries()) {
    await expect(engines[at]!.create({ kind: 'full', signal })).rejects.toThrow(/started anew/)
    await server.restart()
  }
  const database = {
    adminUrl: coreUrl,
    name: 'postgres',
    drop: async () => {},
    [Symbol.asyncDispose]: async () => {},
  }
  const nomaly = await startTestNomaly({ on: { database, databaseUrl: config.databaseUrl! }, config })
  onTestFinished(() => nomaly[Symbol.asyncDispose]())
  // The core marks both when it ends, and waits for its own log alone.
  for (const engine of engines.toReversed()) await engine.create({ kind: 'full', signal })
  await DetectedFixture.start(nomaly)
  const report = await runRestoreDrill({ site, folder: core.folder, remembered: [], clock: Date.now, signal })
  expect(report.failure).toBeUndefined()
  expect(report.checks.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
  expect(report.verdict).toBe('proven')
  expect(report.backups.map(({ database: holds }) => holds)).toEqual(['core', 'metrics'])
  expect(report.target.kind).toBe('name')
  await nomaly[Symbol.asyncDispose]()
}, 300_000)
