import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdtemp, readdir, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { chooseAccount, identityOf, type ServerAccount } from '../../src/database/embedded-account.ts'
import { findBinaries } from '../../src/database/embedded-binaries.ts'
import { SERVER_ENVIRONMENT } from '../../src/database/embedded-cluster.ts'
import { freePort } from './redis.ts'
import { TcpProxy } from './tcp-proxy.ts'
import { guardServer, killServer, type TestServer } from './test-server.ts'

/**
 * A streaming standby of a test server, in a temporary folder, made without pg_basebackup: by the backup functions and a copy of the files. It
 * follows its primary through a proxy, and ends with this process.
 */
export class Replica implements AsyncDisposable {
  /** Between the standby and its primary. */
  readonly link: TcpProxy
  readonly directory: string
  readonly port: number
  readonly #primaryUrl: string
  readonly #bin: string
  readonly #account: ServerAccount
  readonly #guard: ChildProcess
  #process: ChildProcess | undefined

  private constructor(parts: {
    link: TcpProxy
    parent: string
    port: number
    primaryUrl: string
    bin: string
    account: ServerAccount
  }) {
    this.link = parts.link
    this.directory = join(parts.parent, 'standby')
    this.port = parts.port
    this.#primaryUrl = parts.primaryUrl
    this.#bin = parts.bin
    this.#account = parts.account
    this.#guard = guardServer(this.directory, parts.parent)
  }

  /** Copies a running primary and starts following it; resolves when it takes connections. */
  static async follow(primary: Pick<TestServer, 'adminUrl' | 'directory'>): Promise<Replica> {
    const parent = await realpath(await mkdtemp(join(tmpdir(), 'nomaly-replica-')))
    await chmod(parent, 0o711)
    const account = await chooseAccount([])
    const { folder: bin } = await findBinaries(account, parent)
    const link = await TcpProxy.to(primary.adminUrl)
    const port = await freePort()
    const replica = new Replica({ link, parent, port, primaryUrl: primary.adminUrl, bin, account })
    try {
      await replica.#copy(await realpath(primary.directory))
      await replica.launch()
    } catch (error) {
      await replica[Symbol.asyncDispose]()
      throw error
    }
    return replica
  }

  /** The same database as that of another address, on this server. */
  url(databaseUrl: string): string {
    const url = new URL(databaseUrl)
    url.hostname = '127.0.0.1'
    url.port = String(this.port)
    return url.href
  }

  get adminUrl(): string {
    return this.url(this.#primaryUrl)
  }

  get pid(): number {
    return this.#process!.pid!
  }

  /** Starts it, and waits until it answers. */
  async launch(): Promise<void> {
    this.#process = spawn(join(this.#bin, 'postgres'), ['-D', this.directory, '-p', String(this.port)], {
      cwd: '/',
      env: SERVER_ENVIRONMENT,
      stdio: 'ignore',
      ...identityOf(this.#account),
    })
    for (let tries = 0; ; tries++) {
      try {
        await this.ask('select 1')
        return
      } catch (error) {
        if (this.#process.exitCode !== null || tries > 600)
          throw new Error('The standby does not start.', { cause: error })
        await sleep(50)
      }
    }
  }

  /** Runs a statement on it as superuser. */
  async ask<Row extends pg.QueryResultRow>(statement: string): Promise<Row[]> {
    const client = new pg.Client({ connectionString: this.adminUrl })
    client.on('error', () => {})
    try {
      await client.connect()
      return (await client.query<Row>(statement)).rows
    } finally {
      await client.end().catch(() => {})
    }
  }

  /** Stops replaying; what arrives is kept. */
  async pause(): Promise<void> {
    await this.ask('select pg_wal_replay_pause()')
    for (;;) {
      const [row] = await this.ask<{ state: string }>('select pg_get_wal_replay_pause_state() as state')
      if (row!.state === 'paused') return
      await sleep(10)
    }
  }

  async resume(): Promise<void> {
    await this.ask('select pg_wal_replay_resume()')
  }

  /** Makes it a primary of a timeline of its own. */
  async promote(): Promise<void> {
    await this.ask('select pg_promote(true, 60)')
  }

  /** Stops all of its processes in place: connections stay open, and nothing is answered. */
  freeze(): Promise<void> {
    return this.#signalAll('SIGSTOP')
  }

  thaw(): Promise<void> {
    return this.#signalAll('SIGCONT')
  }

  /** Kills it with -9. */
  async kill(): Promise<void> {
    const child = this.#process
    const ended = child === undefined || child.exitCode !== null ? undefined : once(child, 'exit')
    await killServer(this.directory)
    if (child?.exitCode === null && child.signalCode === null) await ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    this.#guard.kill('SIGKILL')
    await this.link[Symbol.asyncDispose]()
    await rm(join(this.directory, '..'), { recursive: true, force: true, maxRetries: 5 })
  }

  async #signalAll(signal: NodeJS.Signals): Promise<void> {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'pid=', '--ppid', String(this.pid)])
    const children = stdout.split('\n').flatMap((line) => (line.trim() === '' ? [] : [Number(line)]))
    for (const pid of [this.pid, ...children]) {
      try {
        process.kill(pid, signal)
      } catch {
        // It ended meanwhile.
      }
    }
  }

  async #copy(source: string): Promise<void> {
    const client = new pg.Client({ connectionString: this.#primaryUrl })
    await client.connect()
    try {
      const slot = `replica_${this.port}`
      await client.query('select pg_create_physical_replication_slot($1, true)', [slot])
      await client.query(`select pg_backup_start('replica', true)`)
      // Files that vanish while they are copied are made again from the log.
      await promisify(execFile)('cp', ['-a', source, this.directory]).catch(() => {})
      const { rows } = await client.query<{ labelfile: string }>(
        'select labelfile from pg_backup_stop(wait_for_archive => false)',
      )
      await this.#clear('pg_wal', (name) => /^[0-9A-F]{24}$/.test(name))
      await this.#clear('pg_replslot', () => true)
      for (const name of ['postmaster.pid', 'postmaster.opts'])
        await rm(join(this.directory, name), { force: true })
      await this.#write('backup_label', rows[0]!.labelfile)
      await this.#write('standby.signal', '')
      await this.#write('postgresql.auto.conf', this.#settings(slot))
    } finally {
      await client.end()
    }
  }

  async #write(name: string, text: string): Promise<void> {
    const { uid, gid, switched } = this.#account
    await writeFile(join(this.directory, name), text)
    if (switched) await chown(join(this.directory, name), uid, gid)
  }

  async #clear(folder: string, isSurplus: (name: string) => boolean): Promise<void> {
    for (const name of await readdir(join(this.directory, folder)))
      if (isSurplus(name)) await rm(join(this.directory, folder, name), { recursive: true })
  }

  #settings(slot: string): string {
    const { hostname, port, username, password } = new URL(this.link.url(this.#primaryUrl))
    const login = `user=${username} password=${decodeURIComponent(password)}`
    return [
      `primary_conninfo = 'host=${hostname} port=${port} ${login} sslmode=disable'`,
      `primary_slot_name = '${slot}'`,
      "wal_retrieve_retry_interval = '100ms'",
      "hot_standby_feedback = 'off'",
      '',
    ].join('\n')
  }
}
