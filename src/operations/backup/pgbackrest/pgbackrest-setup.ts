import { chown, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type pg from 'pg'
import { databaseOf, loginOf, passwordOf } from '../../../config/database-url.ts'
import { connectClient } from '../../../database/connect.ts'
import { explainFileError, writePrivateFile } from '../../../database/data-folder.ts'
import { firstBarrier, ownerOf, type ServerAccount } from '../../../database/server-account.ts'
import { NomalyError } from '../../../errors.ts'
import { type ClusterFacts, readFacts } from './cluster-facts.ts'
import { renderConfig } from './render-config.ts'
import type { PgbackrestRunner } from './run-pgbackrest.ts'

export interface PgbackrestOptions {
  readonly program: string
  readonly stanza: string
  /** A folder on this machine, or `s3://bucket/prefix`. */
  readonly repository: string
  readonly cipherPass: string
  readonly keepFull: number
  /** More options, as `name=value`. */
  readonly extra: readonly string[]
  /** Where the configuration and what is known of the cluster are kept; the server's user must be able to pass through. */
  readonly folder: string
  /** Of the cluster that is backed up, as superuser. */
  readonly adminUrl: string
  /** Of clusters that are marked together with this one, after it, when a backup ends. */
  readonly markWith: readonly string[]
}

/** Finds the cluster that is backed up, and writes down for pgBackRest what it needs to know. */
export class PgbackrestSetup {
  readonly #options: PgbackrestOptions

  constructor(options: PgbackrestOptions) {
    this.#options = options
  }

  /** Connects as the administrator. */
  async connect(): Promise<AsyncDisposable & { client: pg.Client }> {
    const client = await connectClient(this.#options.adminUrl, { application_name: 'nomaly backup' })
    client.on('error', () => {})
    return { client, [Symbol.asyncDispose]: () => client.end().catch(() => {}) }
  }

  /** Writes the configuration anew where the server runs, and else takes the one that it has left. */
  async configureAnyway(): Promise<PgbackrestRunner> {
    let server
    try {
      server = await this.connect()
    } catch {
      const facts = await this.facts()
      const account = (await ownerOf(facts.dataDirectory)) ?? (await ownerOf(this.#configFile))
      if (account !== undefined) return await this.#write(facts, account)
      throw new NomalyError('unavailable', 'Nobody is known that could read the repository.', {
        hint: `Bring the folder ${this.#options.folder} back from the machine that made the backups.`,
      })
    }
    try {
      return await this.configure(server.client)
    } finally {
      await server[Symbol.asyncDispose]()
    }
  }

  /** Writes the configuration for the cluster as it runs. @throws NomalyError `unavailable` where it is not on this machine. */
  async configure(client: pg.Client): Promise<PgbackrestRunner> {
    const facts = await readFacts(client)
    const account = await ownerOf(facts.dataDirectory)
    if (account === undefined)
      throw new NomalyError('unavailable', 'The files of the database are not on this machine.', {
        hint: 'Run this on the machine of the server (pgBackRest reads its files), or let the provider of a managed server make the backups and set NOMALY_SNAPSHOT_COMMAND.',
      })
    if (!account.switched && account.uid !== process.getuid?.())
      throw new NomalyError('forbidden', 'The files of the database belong to another user.', {
        hint: 'Run this as the user that PostgreSQL runs as, or as root.',
      })
    return this.#write(facts, account)
  }

  /** Of what is done here. */
  get #configFile(): string {
    return join(this.#options.folder, `${this.#options.stanza}-commands.conf`)
  }

  /** Of what the server does at any time: changed only by settings that have shown that they are right. */
  get archivingFile(): string {
    return join(this.#options.folder, `${this.#options.stanza}.conf`)
  }

  /** Has the server archive with what is configured now. */
  async keepForArchiving({ account }: PgbackrestRunner): Promise<void> {
    const text = await readFile(this.#configFile, 'utf8')
    if (text === (await readFile(this.archivingFile, 'utf8').catch(() => ''))) return
    await writePrivateFile(this.archivingFile, text)
    if (account.switched) await chown(this.archivingFile, account.uid, account.gid)
  }

  get #factsFile(): string {
    return join(this.#options.folder, `${this.#options.stanza}.json`)
  }

  /** As they were when the server last answered. @throws NomalyError `unavailable`. */
  async facts(): Promise<ClusterFacts> {
    try {
      return JSON.parse(await readFile(this.#factsFile, 'utf8')) as ClusterFacts
    } catch (cause) {
      throw new NomalyError('unavailable', 'The server does not answer, and nothing is known of it here.', {
        hint: `Start it, or bring the folder ${this.#options.folder} back from the machine that made the backups.`,
        cause,
      })
    }
  }

  async #write(facts: ClusterFacts, account: ServerAccount): Promise<PgbackrestRunner> {
    const { program, stanza, repository, cipherPass, keepFull, extra, folder, adminUrl } = this.#options
    const workFolder = join(folder, 'work')
    try {
      await mkdir(folder, { recursive: true, mode: 0o711 })
      await mkdir(workFolder, { recursive: true, mode: 0o700 })
      if (!repository.startsWith('s3://')) await mkdir(repository, { recursive: true, mode: 0o750 })
      await writePrivateFile(this.#factsFile, `${JSON.stringify(facts)}\n`)
      await writePrivateFile(
        this.#configFile,
        renderConfig({
          stanza,
          repository,
          cipherPass,
          keepFull,
          extra,
          workFolder,
          dataDirectory: facts.dataDirectory,
          port: facts.port,
          socketFolder: facts.socketFolder,
          user: loginOf(adminUrl),
          database: databaseOf(adminUrl),
        }),
      )
      if (account.switched) {
        const own = [workFolder, this.#configFile, ...(repository.startsWith('s3://') ? [] : [repository])]
        for (const path of own) await chown(path, account.uid, account.gid)
      }
    } catch (error) {
      throw explainFileError(error, folder)
    }
    const barrier = await firstBarrier(folder, account)
    if (barrier !== undefined)
      throw new NomalyError('unavailable', `The user of the database cannot pass through ${barrier}.`, {
        hint: 'Choose a data folder that it can pass through (NOMALY_DATA_DIR), such as /var/lib/nomaly: PostgreSQL runs pgBackRest with the configuration there.',
      })
    return {
      program,
      configFile: this.#configFile,
      stanza,
      account,
      home: workFolder,
      password: passwordOf(adminUrl),
    }
  }
}
