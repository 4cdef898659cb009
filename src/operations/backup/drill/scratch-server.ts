import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmod, chown, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { identityOf, type ServerAccount } from '../../../database/server-account.ts'
import { NomalyError } from '../../../errors.ts'
import { scratchSettings } from './scratch-settings.ts'

/** What a server on restored files is started with. */
export interface ScratchProgram {
  /** Folder of `postgres`. */
  readonly binFolder: string
  /** The user that the files belong to. */
  readonly account: ServerAccount
  /** Libraries without which the data cannot be read. */
  readonly preload: readonly string[]
  /** Logins of which one is a superuser in there. */
  readonly superusers: readonly string[]
}

/** What a server has recovered to. */
export interface Recovered {
  readonly lsn: string | undefined
  /** Commit of the newest transaction that was replayed; `undefined` where none was. */
  readonly newestCommit: Date | undefined
  readonly systemId: string
}

const START_TIMEOUT_MS = 24 * 3_600_000
const STOP_TIMEOUT_MS = 20_000
const LOOK_MS = 100
const LOGIN = 'nomaly_restore_drill'

/** A PostgreSQL server on restored files, for a drill alone: with a login of its own, and no way out of this machine. */
export class ScratchServer implements AsyncDisposable {
  readonly recovered: Recovered
  readonly #child: ChildProcess
  readonly #port: number
  readonly #password: string
  readonly #sockets: string

  private constructor(
    child: ChildProcess,
    sockets: string,
    port: number,
    password: string,
    recovered: Recovered,
  ) {
    this.#child = child
    this.#sockets = sockets
    this.#port = port
    this.#password = password
    this.recovered = recovered
  }

  /**
   * Starts a server on a data directory in `folder`, which is the drill's alone, and waits until it has replayed the log.
   * @throws NomalyError `unavailable` with what it said where it did not come up: a piece of the log is missing, above all.
   */
  static async start(
    folder: string,
    directory: string,
    program: ScratchProgram,
    signal: AbortSignal,
  ): Promise<ScratchServer> {
    const { account, binFolder, preload } = program
    // The path of a socket may not be long (PostgreSQL manual, 20.3.1), and that of the folder may be.
    const sockets = await mkdtemp(join(tmpdir(), 'nomaly-drill-'))
    const [hbaFile, identFile, configFile] = ['hba', 'ident', 'scratch'].map((name) =>
      join(folder, `${name}.conf`),
    ) as [string, string, string]
    // Whoever may enter that folder may do everything; over the network only the drill's own login is known.
    await writeFile(hbaFile, `local all all trust\nhost all ${LOGIN} 127.0.0.1/32 scram-sha-256\n`)
    for (const path of [identFile, configFile]) await writeFile(path, '')
    if (account.switched)
      for (const path of [sockets, hbaFile, identFile, configFile])
        await chown(path, account.uid, account.gid)
    await chmod(folder, 0o711)
    const port = await freePort()
    // What stands in the restored files themselves must not win: on the command line it does not.
    const settings = Object.entries({
      config_file: configFile,
      ...scratchSettings({ directory, hbaFile, identFile, sockets, port, preload }),
    }).flatMap(([name, text]) => ['-c', `${name}=${text}`])
    const logFile = join(folder, 'postgres.log')
    const log = await open(logFile, 'a', 0o600)
    const child = spawn(join(binFolder, 'postgres'), ['-D', directory, ...settings], {
      cwd: '/',
      env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
      stdio: ['ignore', log.fd, log.fd],
      ...identityOf(account),
    })
    await log.close()
    const ended = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(error.message))
      child.once('exit', (code, name) => resolve(`exit ${code ?? name}`))
    })
    try {
      const client = await untilItAnswers({ sockets, port, program, ended, logFile, signal })
      try {
        const password = randomBytes(24).toString('base64url')
        await client.query(`set password_encryption = 'scram-sha-256'`)
        await client.query(`create role ${LOGIN} superuser login password '${password}'`)
        return new ScratchServer(child, sockets, port, password, await readRecovered(client))
      } finally {
        await client.end()
      }
    } catch (error) {
      await end(child, sockets)
      throw error
    }
  }

  /** The address of a database in it, for a superuser. Carries the password: never log it. */
  url(database: string): string {
    return `postgresql://${LOGIN}:${this.#password}@127.0.0.1:${this.#port}/${encodeURIComponent(database)}?sslmode=disable`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.#child, this.#sockets)
  }
}

async function untilItAnswers(given: {
  readonly sockets: string
  readonly port: number
  readonly program: ScratchProgram
  readonly ended: Promise<string>
  readonly logFile: string
  readonly signal: AbortSignal
}): Promise<pg.Client> {
  const { sockets, port, program, ended, logFile, signal } = given
  let over: string | undefined
  void ended.then((why) => (over = why))
  const giveUpAt = performance.now() + START_TIMEOUT_MS
  for (;;) {
    signal.throwIfAborted()
    if (over !== undefined || performance.now() > giveUpAt)
      throw explainFailure(await readFile(logFile, 'utf8').catch(() => ''), over ?? 'it took too long')
    for (const user of program.superusers) {
      const client = new pg.Client({
        host: sockets,
        port,
        user,
        database: 'template1',
        application_name: 'nomaly restore drill',
        connectionTimeoutMillis: 5_000,
      })
      client.on('error', () => {})
      try {
        await client.connect()
        return client
      } catch {
        await client.end().catch(() => {})
      }
    }
    await sleep(LOOK_MS, undefined, { signal })
  }
}

function explainFailure(log: string, why: string): NomalyError {
  const lines = log.split('\n')
  const fatal = lines
    // What it answered to this process's own attempts says nothing.
    .findLast((line) => /\b(?:FATAL|PANIC):/.test(line) && !/FATAL: +the database system is/.test(line))
    ?.replace(/^.*?(?:FATAL|PANIC): +/, '')
  const missing =
    /recovery ended before configured recovery target|could not locate (?:a valid|required) checkpoint|WAL ends before/i.test(
      log,
    )
  return new NomalyError('unavailable', `PostgreSQL did not come up on what was restored: ${fatal ?? why}`, {
    hint: missing
      ? 'A piece of the log is missing or damaged: `nomaly backup verify` says which. Make a full backup now: until then nothing later can be restored.'
      : 'What it said stands in the report of the drill.',
    cause: new Error(log.slice(-4_000)),
  })
}

async function readRecovered(client: pg.Client): Promise<Recovered> {
  const { rows } = await client.query<{ lsn: string | null; commit: Date | null; system: string }>(
    `select pg_last_wal_replay_lsn()::text as lsn, pg_last_xact_replay_timestamp() as commit,
       (select system_identifier::text from pg_control_system()) as system`,
  )
  const { lsn, commit, system } = rows[0]!
  return { lsn: lsn ?? undefined, newestCommit: commit ?? undefined, systemId: system }
}

/** Nothing in it is worth a checkpoint. */
async function end(child: ChildProcess, sockets: string): Promise<void> {
  if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
    const over = once(child, 'exit')
    child.kill('SIGQUIT')
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await over
    clearTimeout(timer)
  }
  await rm(sockets, { recursive: true, force: true })
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
