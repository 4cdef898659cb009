import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, open, readFile, rename, rm, stat, truncate } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { Client } from 'pg'

import { NomalyError } from '../errors.ts'
import { identityOf, type ServerAccount } from './embedded-account.ts'
import type { Binaries } from './embedded-binaries.ts'
import { SERVER_ENVIRONMENT } from './embedded-cluster.ts'
import {
  findServerProcesses,
  isServerProcess,
  processExists,
  signalServer,
  waitForEnd,
} from './server-processes.ts'

const FAST_SHUTDOWN_MS = 30_000
const IMMEDIATE_SHUTDOWN_MS = 5_000
const ORPHAN_GRACE_MS = 1_000
const ORPHAN_SHUTDOWN_MS = 2_000
const GIVE_UP_MS = 10_000
const PATIENCE_MS = 5_000
const LOG_LIMIT_BYTES = 16 * 1024 * 1024

/** A running server: its postmaster's process and port. */
export interface Postmaster {
  readonly pid: number
  readonly port: number
}

/** What it takes to run a server on a data directory. */
export interface ServerFiles {
  /** Real path of the data directory. */
  readonly directory: string
  readonly logFile: string
  readonly account: ServerAccount
  readonly binaries: Binaries
}

/** The port was taken between looking and listening. */
export class PortTaken extends Error {}

/** Another postmaster got hold of the directory between looking and starting. */
export class DirectoryTaken extends Error {}

/** The address of the superuser; carries the password. */
export function adminUrl(port: number, password: string): string {
  // `sslmode` keeps a PGSSLMODE meant for other servers away.
  return `postgres://postgres:${password}@127.0.0.1:${port}/postgres?sslmode=disable`
}

interface PidFile extends Postmaster {
  readonly status: string
}

/** What `postmaster.pid` says; `undefined` when there is none, or none that can be read. */
async function readPidFile(directory: string): Promise<PidFile | undefined> {
  const text = await readFile(join(directory, 'postmaster.pid'), 'utf8').catch(() => '')
  const lines = text.split('\n')
  const pid = Number(lines[0])
  if (!Number.isSafeInteger(pid) || pid <= 1) return undefined
  return { pid, port: Number(lines[3]), status: (lines[7] ?? '').trim() }
}

/** The postmaster that runs on the directory, whoever started it. A `postmaster.pid` left by a loss of power names none. */
export async function findPostmaster(directory: string): Promise<PidFile | undefined> {
  const found = await readPidFile(directory)
  return found !== undefined && (await isServerProcess(found.pid, directory)) ? found : undefined
}

/**
 * PostgreSQL takes any process with the number in a `postmaster.pid` of old for its server, be it a zombie or a stranger that got
 * the number later, and refuses to start. One that names nobody is left to PostgreSQL, which then looks further.
 */
async function removeMisleadingPidFile(directory: string): Promise<void> {
  const old = await readPidFile(directory)
  if (old === undefined || !processExists(old.pid) || (await isServerProcess(old.pid, directory))) return
  await rm(join(directory, 'postmaster.pid'))
}

/**
 * Takes over a postmaster that outlived the process which started it, when it is ready, of the right version, and knows the
 * password; `undefined` when it is not.
 */
export async function adoptPostmaster(
  files: ServerFiles,
  password: string,
  signal: AbortSignal,
): Promise<Postmaster | undefined> {
  for (;;) {
    const found = await findPostmaster(files.directory)
    if (found === undefined || found.status === 'stopping') return undefined
    if (found.status === 'ready') {
      const answer = await identify(found.port, password).catch(() => undefined)
      const right = answer?.directory === files.directory && answer.version === files.binaries.version
      return right ? { pid: found.pid, port: found.port } : undefined
    }
    // It is still recovering; starting over would only begin that anew.
    await sleep(50, undefined, { signal })
  }
}

/** Signs in once, which proves the password, and asks the server who it is. */
async function identify(port: number, password: string): Promise<{ directory: string; version: string }> {
  const client = new Client({
    connectionString: adminUrl(port, password),
    connectionTimeoutMillis: PATIENCE_MS,
  })
  client.on('error', () => {})
  try {
    await client.connect()
    const { rows } = await client.query<{ directory: string; version: string }>(
      `select current_setting('data_directory') as directory, current_setting('server_version') as version`,
    )
    return rows[0]!
  } finally {
    await client.end().catch(() => {})
  }
}

/** Starts a postmaster on a free directory and waits until it answers with the password. Throws {@link PortTaken}, {@link DirectoryTaken}. */
export async function launchPostmaster(
  files: ServerFiles,
  port: number,
  password: string,
  options: { signal: AbortSignal; log: (message: string) => void },
): Promise<Postmaster> {
  const { directory, account } = files
  await removeMisleadingPidFile(directory)
  const { log, logStart } = await openLog(files)
  const child = spawn(join(files.binaries.folder, 'postgres'), ['-D', directory, '-p', String(port)], {
    cwd: '/',
    env: SERVER_ENVIRONMENT,
    // A session of its own: Ctrl+C in the owner's terminal must not end it before the owner has finished its work.
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    ...identityOf(account),
  })
  let ended: string | undefined
  child.once('error', (error) => (ended = error.message))
  child.once('exit', (code, name) => (ended = `exit ${code ?? name}`))
  child.unref()
  try {
    const started = performance.now()
    for (let told = false; ;) {
      options.signal.throwIfAborted()
      if (ended !== undefined) throw await explainFailure(files.logFile, logStart, port, ended)
      const found = await readPidFile(directory)
      if (found?.pid === child.pid && found?.status === 'ready') break
      if (!told && performance.now() - started > PATIENCE_MS) {
        told = true
        options.log(
          'PostgreSQL is replaying its log after it was interrupted; this takes up to some minutes.',
        )
      }
      await sleep(10)
    }
    await identify(port, password)
    return { pid: child.pid!, port }
  } catch (error) {
    if (ended === undefined) await giveUp(child, directory)
    throw error
  } finally {
    await log.close()
  }
}

/** Ends a server that was never in use. Too young to be recognised by its directory, it is known as a child. */
async function giveUp(child: ChildProcess, directory: string): Promise<void> {
  const ended = once(child, 'exit')
  child.kill('SIGINT')
  const killing = setTimeout(() => child.kill('SIGKILL'), GIVE_UP_MS)
  await ended
  clearTimeout(killing)
  await clearOrphans(directory)
}

/** Whether an error is PostgreSQL's refusal of a password. */
export function isWrongPassword(error: unknown): boolean {
  return (error as { code?: unknown }).code === '28P01'
}

/** Gives the superuser a new password, without the old one: whoever owns the files may. No server may run on them. */
export async function resetPassword(files: ServerFiles, password: string): Promise<void> {
  const { directory, account, binaries } = files
  await clearOrphans(directory)
  await removeMisleadingPidFile(directory)
  const child = spawn(join(binaries.folder, 'postgres'), ['--single', '-D', directory, 'postgres'], {
    cwd: '/',
    env: SERVER_ENVIRONMENT,
    stdio: ['pipe', 'ignore', 'ignore'],
    ...identityOf(account),
  })
  const ended = once(child, 'exit')
  child.stdin.end(`alter role postgres password '${password}'\n`)
  await ended
}

async function openLog({ logFile }: ServerFiles) {
  await mkdir(dirname(logFile), { recursive: true, mode: 0o700 })
  if ((await logSize(logFile)) > LOG_LIMIT_BYTES) await rename(logFile, `${logFile}.1`)
  const log = await open(logFile, 'a', 0o600)
  return { log, logStart: await logSize(logFile) }
}

async function logSize(logFile: string): Promise<number> {
  return (await stat(logFile).catch(() => undefined))?.size ?? 0
}

/** Keeps the log of a running server below twice its limit. */
export async function rotateLog({ logFile }: ServerFiles): Promise<void> {
  if ((await logSize(logFile)) <= LOG_LIMIT_BYTES) return
  // The server has the file open for appending: it goes on at the new end.
  await copyFile(logFile, `${logFile}.1`)
  await truncate(logFile)
}

async function explainFailure(
  logFile: string,
  logStart: number,
  port: number,
  ended: string,
): Promise<Error> {
  const said = (await readFile(logFile)).subarray(logStart).toString('utf8')
  if (/could not bind .*Address already in use|could not create any TCP\/IP sockets/i.test(said))
    return new PortTaken(String(port))
  if (/lock file "postmaster.pid" already exists/.test(said)) return new DirectoryTaken(said)
  const fatal = said.split('\n').findLast((line) => /FATAL|PANIC|error:/.test(line))
  const reason = fatal?.replace(/^.*?(?:FATAL|PANIC|error): +/, '') ?? ended
  const hint = /no space left/i.test(said)
    ? 'Free some space on that disk and start again; nothing that was saved is lost.'
    : /permission denied|wrong ownership|invalid permissions/i.test(said)
      ? 'Start as the user the data folder belongs to.'
      : /shared memory|memory/i.test(said)
        ? 'Free some memory and start again.'
        : `Read ${logFile}.`
  return new NomalyError('unavailable', `PostgreSQL did not start: ${reason}`, {
    hint,
    cause: new Error(said.slice(-4000)),
  })
}

/**
 * Ends the server on the directory: the fast way (transactions are rolled back, all is written), after 30 s the immediate one
 * (the next start replays the log), and at last by killing whatever is left.
 */
export async function stopPostmaster(directory: string, pid: number): Promise<void> {
  await signalServer([pid], directory, 'SIGINT')
  if (!(await waitForEnd([pid], directory, FAST_SHUTDOWN_MS))) {
    await signalServer([pid], directory, 'SIGQUIT')
    await waitForEnd([pid], directory, IMMEDIATE_SHUTDOWN_MS)
  }
  await clearOrphans(directory)
}

/**
 * Waits for, then ends, processes that outlived their postmaster. While one of them lives, PostgreSQL refuses to start, since
 * both would write the same files.
 */
export async function clearOrphans(directory: string): Promise<void> {
  const waits = [
    [undefined, ORPHAN_GRACE_MS],
    ['SIGQUIT', ORPHAN_SHUTDOWN_MS],
    ['SIGKILL', IMMEDIATE_SHUTDOWN_MS],
  ] as const
  for (const [signal, waitMs] of waits) {
    const orphans = await findServerProcesses(directory)
    if (orphans.length === 0) return
    if (signal !== undefined) await signalServer(orphans, directory, signal)
    if (await waitForEnd(orphans, directory, waitMs)) return
  }
  throw new NomalyError('unavailable', `Processes of an earlier server still hold ${directory}.`, {
    hint: `End them and start again: ${(await findServerProcesses(directory)).join(', ')}.`,
  })
}
