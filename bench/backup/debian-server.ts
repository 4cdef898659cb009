import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, appendFile, chown, mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { chooseAccount, identityOf } from '../../src/database/embedded-account.ts'
import { ARCHIVE_FOLDER, writeLineage } from '../../src/database/log-archive.ts'
import { freePorts } from '../instance.ts'

const BIN = '/usr/lib/postgresql/15/bin'
const execute = promisify(execFile)

/** A PostgreSQL of Debian's, whose client tools are of its own version, on a data directory. */
export interface DebianServer extends AsyncDisposable {
  readonly url: string
  readonly directory: string
}

/** Whether the server and its tools are on this machine. */
export async function hasDebianServer(): Promise<boolean> {
  return access(join(BIN, 'pg_restore')).then(
    () => true,
    () => false,
  )
}

/** Makes a cluster with checksums, whose log is kept for backups, and gives it to the account that the server runs as. */
export async function makeCluster(directory: string, lineage: string): Promise<void> {
  const account = await chooseAccount([])
  await mkdir(directory, { recursive: true, mode: 0o700 })
  if (account.switched) await chown(directory, account.uid, account.gid)
  const options = ['-D', directory, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '-k']
  await execute(join(BIN, 'initdb'), options, { cwd: '/', ...identityOf(account) })
  await writeLineage(directory, { id: lineage, segmentSeconds: 60 })
  await appendFile(
    join(directory, 'postgresql.conf'),
    [
      "listen_addresses = '127.0.0.1'",
      "unix_socket_directories = ''",
      'shared_buffers = 512MB',
      'maintenance_work_mem = 256MB',
      'max_wal_size = 4GB',
      'checkpoint_timeout = 15min',
      'archive_mode = on',
      "archive_library = 'basic_archive'",
      `basic_archive.archive_directory = '${ARCHIVE_FOLDER}'`,
      'timezone = UTC',
      '',
    ].join('\n'),
  )
}

/** Gives restored files to the account of the server. */
export async function giveAway(directory: string): Promise<void> {
  const account = await chooseAccount([])
  if (account.switched) await execute('chown', ['-R', `${account.uid}:${account.gid}`, directory])
}

/** Starts a server and waits until it takes writes. */
export async function startDebian(directory: string, signal: AbortSignal): Promise<DebianServer> {
  const account = await chooseAccount([dirname(directory)])
  const [port] = await freePorts(1)
  const child = spawn(join(BIN, 'postgres'), ['-D', directory, '-p', String(port)], {
    cwd: '/',
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
    stdio: ['ignore', 'ignore', 'inherit'],
    ...identityOf(account),
  })
  const ended = once(child, 'exit')
  const url = `postgres://postgres@127.0.0.1:${port}/postgres?sslmode=disable`
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGINT')
    await ended
  }
  try {
    while (!(await takesWrites(url))) {
      signal.throwIfAborted()
      if (child.exitCode !== null) throw new Error('PostgreSQL did not start.')
      await sleep(20)
    }
    return { url, directory, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function takesWrites(url: string): Promise<boolean> {
  try {
    return (await askOne<{ yes: boolean }>(url, 'select not pg_is_in_recovery() as yes')).yes
  } catch {
    return false
  }
}

/** Runs one of the client tools. */
export async function runTool(
  tool: 'pg_dump' | 'pg_restore',
  args: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  await execute(join(BIN, tool), args, { signal, maxBuffer: 1024 ** 3 })
}

/** The only row of a statement, or the last one's of several. */
export async function askOne<Row extends pg.QueryResultRow>(url: string, text: string): Promise<Row> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  try {
    await client.connect()
    const result = (await client.query<Row>(text)) as pg.QueryResult<Row> | pg.QueryResult<Row>[]
    return (Array.isArray(result) ? result.at(-1)! : result).rows[0]!
  } finally {
    await client.end().catch(() => {})
  }
}
