import { join } from 'node:path'
import { openServerBackups, type ServerBackups } from '../../src/operations/backup/open-server-backups.ts'
import type { CopySite, CopySource } from '../../src/operations/backup/drill/copy-site.ts'
import {
  type RestoreDrillOptions,
  type RestoreDrillReport,
  runRestoreDrill,
} from '../../src/operations/backup/drill/run-restore-drill.ts'
import { migrateInstance } from '../../src/operations/open-instance.ts'
import { urlForLogin } from '../../src/operations/connection-urls.ts'
import { ArchivedServer } from '../support/archived-server.ts'
import { startTestNomaly, testConfig, type TestNomaly } from '../support/nomaly.ts'
import { askDatabase } from './detected-fixture.ts'

const LOGIN = { name: 'nomaly', password: 'application' }

/** An installation on a PostgreSQL of Debian's, which pgBackRest backs up into a folder beside it. */
export class ArchivedInstallation implements AsyncDisposable {
  readonly archived: ArchivedServer
  readonly adminUrl: string
  readonly repository: string
  readonly config: ReturnType<typeof testConfig>
  readonly backups: ServerBackups
  #nomaly: TestNomaly | undefined

  private constructor(
    archived: ArchivedServer,
    config: ReturnType<typeof testConfig>,
    backups: ServerBackups,
  ) {
    this.archived = archived
    this.config = config
    this.backups = backups
    this.adminUrl = config.adminDatabaseUrl!
    this.repository = config.pgbackrestRepository!
  }

  /** The server runs, and nothing is on it. */
  static async start(): Promise<ArchivedInstallation> {
    const archived = await ArchivedServer.start()
    await askDatabase(archived.server.adminUrl, 'create database product')
    const adminUrl = archived.server.adminUrl.replace(/postgres$/, 'product')
    const config = testConfig({
      dataDirectory: join(archived.folder, 'data'),
      databaseUrl: urlForLogin(adminUrl, LOGIN.name, LOGIN.password),
      adminDatabaseUrl: adminUrl,
      pgbackrestRepository: join(archived.folder, 'repository'),
      drillFolder: archived.folder,
    })
    return new ArchivedInstallation(archived, config, await openServerBackups(config, () => {}))
  }

  /** Starts the product on it. */
  async startNomaly(): Promise<TestNomaly> {
    const { adminUrl } = this
    await migrateInstance({ adminUrl, applicationLogin: LOGIN }, 'auto', () => {})
    const database = {
      adminUrl,
      name: 'product',
      drop: async () => {},
      [Symbol.asyncDispose]: async () => {},
    }
    this.#nomaly = await startTestNomaly({ on: { database, databaseUrl: this.config.databaseUrl! } })
    return this.#nomaly
  }

  get source(): CopySource {
    return (this.backups.site as CopySite).sources[0]!
  }

  drill(options: Partial<RestoreDrillOptions> = {}): Promise<RestoreDrillReport> {
    return runRestoreDrill({
      site: this.backups.site,
      folder: this.archived.folder,
      remembered: [],
      clock: Date.now,
      signal: new AbortController().signal,
      ...options,
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#nomaly?.[Symbol.asyncDispose]()
    await this.archived[Symbol.asyncDispose]()
  }
}
