import { createHash } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/profiles.ts'
import { startEmbeddedServer } from '../../src/database/embedded-server.ts'
import type { BackupWork } from '../../src/operations/backup/backup-engine.ts'
import { openBackups, recoverFolder, type EmbeddedBackups } from '../../src/operations/backup/open-backups.ts'
import { parseRestoreTarget } from '../../src/operations/backup/parse-restore-target.ts'
import type { Recovered } from '../../src/operations/backup/recover-restored.ts'
import { type Instance, openInstance } from '../../src/operations/open-instance.ts'
import { killServer } from '../support/postgres.ts'

/** A whole installation on an embedded server, with a folder for its backups. */
export interface BackupSite extends AsyncDisposable {
  /** Temporary folder that holds everything. */
  readonly parent: string
  readonly targetFolder: string
  readonly config: Config
  readonly instance: Instance
  readonly adminUrl: string
  readonly engine: EmbeddedBackups
  readonly work: BackupWork
  ask<Row extends pg.QueryResultRow>(text: string): Promise<Row[]>
  /** Restores into a folder of its own and lets PostgreSQL replay the log. */
  restore(to: string, changes?: Partial<Config>): Promise<{ folder: string; recovered: Recovered }>
  /** The rows of a statement on a restored folder, started for it. */
  askRestored<Row extends pg.QueryResultRow>(folder: string, text: string): Promise<Row[]>
  /** Closes the installation; the rest stays. */
  close(): Promise<void>
}

const PORTS_FROM = 24_000

export function backupConfig(parent: string, changes: Partial<Config> = {}): Config {
  return {
    ...loadConfig({ NOMALY_PORT: '0', NOMALY_LOG_LEVEL: 'fatal', NOMALY_BACKUP_RATE: '0' }),
    dataDirectory: join(parent, 'data'),
    backupTarget: join(parent, 'backups'),
    embeddedDatabasePort: PORTS_FROM + Math.floor(Math.random() * 8_000),
    ...changes,
  }
}

/** Opens an installation in a temporary folder. */
export async function openBackupSite(changes: Partial<Config> = {}): Promise<BackupSite> {
  const parent = await realpath(await mkdtemp(join(tmpdir(), 'nomaly-backup-')))
  // The account of the server must pass through where root runs the tests.
  await chmod(parent, 0o711)
  const config = backupConfig(parent, changes)
  const work: BackupWork = { signal: AbortSignal.timeout(300_000) }
  let instance: Instance | undefined
  let restores = 0
  const close = async (): Promise<void> => {
    await instance?.[Symbol.asyncDispose]()
    instance = undefined
  }
  const cleanUp = async (): Promise<void> => {
    await close()
    await killServer(join(config.dataDirectory, 'postgres'))
    await rm(parent, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    instance = await openInstance(config, 'test', () => {})
    const adminUrl = instance.embedded!.adminUrl
    const engine = await openBackups(config, { makesKey: true, log: () => {} })
    return {
      parent,
      targetFolder: config.backupTarget!,
      config,
      instance,
      adminUrl,
      engine,
      work,
      ask: (text) => askAt(adminUrl, text),
      async restore(to, other = {}) {
        const folder = join(parent, `restored-${++restores}`)
        const reading = { ...config, ...other }
        const backups = await openBackups(reading, { makesKey: false, log: () => {} })
        const files = await backups.restoreInto(folder, parseRestoreTarget(to), work)
        return { folder, recovered: await recoverFolder(reading, folder, files, { work, log: () => {} }) }
      },
      async askRestored(folder, text) {
        const server = await startEmbeddedServer({
          dataDirectory: folder,
          preferredPort: config.embeddedDatabasePort + 1,
          log: () => {},
        })
        try {
          return await askAt(server.adminUrl, text)
        } finally {
          await server.stop()
        }
      },
      close,
      [Symbol.asyncDispose]: cleanUp,
    }
  } catch (error) {
    await cleanUp()
    throw error
  }
}

/** The rows of one statement, on a connection of its own. */
export async function askAt<Row extends pg.QueryResultRow>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  try {
    await client.connect()
    const result = await client.query<Row>(text)
    return Array.isArray(result) ? (result.at(-1) as pg.QueryResult<Row>).rows : result.rows
  } finally {
    await client.end().catch(() => {})
  }
}

/** Count and checksum of a table's rows, whatever their order. */
export function checksumOf(table: string): string {
  return `select count(*)::int4 as rows, coalesce(sum(hash_record_extended(t, 0)::numeric), 0)::text as sum from ${table} t`
}

/** The hash of each file below a folder. */
export async function fileHashes(folder: string): Promise<Map<string, string>> {
  const names = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) =>
    entry.isFile(),
  )
  const entries = names.map(async ({ parentPath, name }) => {
    const path = join(parentPath, name)
    return [
      path,
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    ] as const
  })
  return new Map(await Promise.all(entries))
}

/** Writes rows one after the other until it is stopped, and keeps when each was sent and acknowledged. */
export class Writer implements AsyncDisposable {
  readonly writes: { readonly id: number; readonly sentMs: number; ackedMs?: number }[] = []
  readonly #client: pg.Client
  #isStopped = false
  #done: Promise<void> | undefined

  private constructor(url: string) {
    this.#client = new pg.Client({ connectionString: url })
    this.#client.on('error', () => {})
  }

  /** Begins to write into `load(id int, body text)`. */
  static async start(url: string): Promise<Writer> {
    const writer = new Writer(url)
    await writer.#client.connect()
    writer.#done = writer.#write()
    return writer
  }

  async #write(): Promise<void> {
    for (let id = 1; !this.#isStopped; id++) {
      const write: { id: number; sentMs: number; ackedMs?: number } = { id, sentMs: Date.now() }
      this.writes.push(write)
      await this.#client.query('insert into load (id, body) values ($1, $2)', [
        id,
        `row ${id} ${'x'.repeat(id % 500)}`,
      ])
      write.ackedMs = Date.now()
      await sleep(1)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true
    await this.#done
    await this.#client.end()
  }
}
