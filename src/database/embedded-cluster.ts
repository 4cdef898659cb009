import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chown,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

import { NomalyError } from '../errors.ts'
import { explainFileError, syncFolder } from './data-folder.ts'
import { firstBarrier, identityOf, isTrusted, type ServerAccount } from './embedded-account.ts'
import type { Binaries } from './embedded-binaries.ts'

/** Enough for the server and for the shell that initdb asks; nothing of the user's own `PG…` settings. */
export const SERVER_ENVIRONMENT = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }

export interface ClusterOptions {
  /** The open data folder. */
  readonly folder: string
  readonly account: ServerAccount
  readonly binaries: Binaries
  readonly password: () => Promise<string>
  readonly log: (message: string) => void
  /** Where root keeps the databases of data folders that the server's account cannot reach. */
  readonly remoteHome: string
  /** Fills a new data directory, instead of `initdb`. What it makes is given to the account afterwards. */
  readonly fill?: (directory: string) => Promise<void>
}

/** The real path of the folder's PostgreSQL data directory, made with `initdb` when there is none yet. */
export async function prepareCluster(options: ClusterOptions): Promise<string> {
  const { folder, account, binaries } = options
  const place = join(folder, 'postgres')
  try {
    const entry = await lstat(place).catch(() => undefined)
    if (entry === undefined) {
      const barrier = await firstBarrier(folder, account)
      if (barrier === undefined) await createCluster(place, options)
      else await createRemoteCluster(place, barrier, options)
    } else if (entry.isSymbolicLink()) await claimRemoteCluster(place, folder)
    const directory = await realpath(place)
    const barrier = await firstBarrier(dirname(directory), account)
    if (barrier !== undefined) {
      throw new NomalyError(
        'unavailable',
        `The user of the database (id ${account.uid}) cannot pass through ${barrier}.`,
        {
          hint: `Run \`chmod a+x ${barrier}\`, or start as the user ${directory} belongs to.`,
        },
      )
    }
    await checkVersion(directory, binaries)
    return directory
  } catch (error) {
    throw explainFileError(error, place)
  }
}

async function checkVersion(directory: string, binaries: Binaries): Promise<void> {
  const found = (await readFile(join(directory, 'PG_VERSION'), 'utf8')).trim()
  if (Number(found) === binaries.major) return
  throw new NomalyError(
    'unavailable',
    `${directory} was made by PostgreSQL ${found}; this is ${binaries.version}.`,
    {
      hint:
        `Start it once more with the version of Nomaly that made it and carry the data over, ` +
        `or choose an empty data folder with NOMALY_DATA_DIR.`,
    },
  )
}

/** Built beside its place and moved there when whole: an interrupted first start leaves nothing half made. */
async function createCluster(directory: string, options: ClusterOptions): Promise<void> {
  const { account, binaries } = options
  const draft = `${directory}.new`
  const passwordFile = `${directory}.password`
  try {
    for (const leftover of [draft, passwordFile]) await rm(leftover, { recursive: true, force: true })
    await mkdir(draft, { mode: 0o700 })
    await writeFile(passwordFile, `${await options.password()}\n`, { mode: 0o600, flag: 'wx' })
    if (account.switched) {
      for (const path of [draft, passwordFile]) await chown(path, account.uid, account.gid)
    }
    if (options.fill === undefined) await initialize(draft, passwordFile, account, binaries)
    else {
      await options.fill(draft)
      if (account.switched)
        await promisify(execFile)('/bin/chown', ['-R', `${account.uid}:${account.gid}`, draft])
    }
    await rename(draft, directory)
    await syncFolder(dirname(directory))
  } finally {
    for (const leftover of [draft, passwordFile]) await rm(leftover, { recursive: true, force: true })
  }
}

async function initialize(
  directory: string,
  passwordFile: string,
  account: ServerAccount,
  binaries: Binaries,
) {
  const parameters = [
    `--pgdata=${directory}`,
    '--username=postgres',
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    // Sorting and case rules from PostgreSQL itself: the same on every machine, and after every upgrade of its C library.
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--locale=C',
    '--data-checksums',
    '--no-instructions',
  ]
  try {
    await promisify(execFile)(join(binaries.folder, 'initdb'), parameters, {
      cwd: '/',
      env: SERVER_ENVIRONMENT,
      ...identityOf(account),
    })
  } catch (cause) {
    throw explainInitialization(cause as Error & { code?: unknown; stderr?: string })
  }
}

function explainInitialization(cause: Error & { code?: unknown; stderr?: string }): NomalyError {
  const said = cause.stderr?.trim() ?? ''
  if (/no space left|disk quota/i.test(said)) {
    return new NomalyError('unavailable', 'There is no space left for the database.', {
      hint: 'Free some space (a new database takes 50 MB), or choose a folder elsewhere with NOMALY_DATA_DIR.',
      cause,
    })
  }
  if (said === '' || /not found|GLIBC|loading shared libraries/.test(said)) {
    return new NomalyError(
      'unavailable',
      `The embedded PostgreSQL does not run on this machine: ${said || cause.message}`,
      {
        hint: 'It needs macOS or a Linux with the GNU C library (not Alpine). Or set DATABASE_URL to a PostgreSQL server, 15 or newer.',
        cause,
      },
    )
  }
  const last = said.split('\n').findLast((line) => line.includes('error:')) ?? said.split('\n').at(-1)
  return new NomalyError('unavailable', `The database could not be created: ${last}`, {
    hint: 'Mend what the message names and start again, or set DATABASE_URL to a PostgreSQL server, 15 or newer.',
    cause,
  })
}

/** For a data folder under, say, root's private home, where the server's account cannot go. */
async function createRemoteCluster(place: string, barrier: string, options: ClusterOptions): Promise<void> {
  const { folder, account, remoteHome, log } = options
  await mkdir(remoteHome, { recursive: true, mode: 0o711 })
  if (!(await isTrusted(remoteHome)) || (await firstBarrier(remoteHome, account)) !== undefined) {
    throw new NomalyError(
      'unavailable',
      `${remoteHome} cannot keep the database: others can write it, or its user cannot reach it.`,
      {
        hint: 'Let it belong to root with mode 0711, or choose a data folder outside of private homes with NOMALY_DATA_DIR.',
      },
    )
  }
  const older = await findClusters(remoteHome, folder)
  // Never the same place again: what is there may be all that is left of a data folder deleted by mistake.
  const home = join(remoteHome, randomBytes(6).toString('hex'))
  await mkdir(home, { mode: 0o711 })
  await writeFile(join(home, 'data-folder'), `${folder}\n`)
  await createCluster(join(home, 'postgres'), options)
  await symlink(join(home, 'postgres'), place)
  await syncFolder(folder)
  log(
    `The database is kept in ${home}, because its user cannot pass through ${barrier}; ${place} points there.`,
  )
  for (const path of older) {
    log(`${path} holds the database of an earlier ${folder}; delete it when you do not need it.`)
  }
}

async function findClusters(remoteHome: string, folder: string): Promise<string[]> {
  const homes = (await readdir(remoteHome)).map((name) => join(remoteHome, name))
  const notes = await Promise.all(
    homes.map((home) => readFile(join(home, 'data-folder'), 'utf8').catch(() => '')),
  )
  return homes.filter((_, index) => notes[index]!.trim() === folder)
}

/** Of two copies of one data folder only one may have the database both point to. */
async function claimRemoteCluster(place: string, folder: string): Promise<void> {
  const directory = await realpath(place).catch(() => undefined)
  if (directory === undefined) {
    throw new NomalyError('unavailable', `${place} points to a database that is not there.`, {
      hint: 'Bring it back from a backup, or delete the data folder to start with an empty one.',
    })
  }
  const note = join(dirname(directory), 'data-folder')
  const claimed = (await readFile(note, 'utf8').catch(() => folder)).trim()
  if (claimed === folder) return
  const [other, here] = await Promise.all([claimed, folder].map((path) => stat(path).catch(() => undefined)))
  const elsewhere = await realpath(join(claimed, 'postgres')).catch(() => undefined)
  if (elsewhere === directory && other?.ino !== here?.ino) {
    throw new NomalyError(
      'conflict',
      `${folder} is a copy of ${claimed}: both point to the database in ${directory}.`,
      {
        hint: `Use ${claimed}, or delete the copy and start with an empty data folder.`,
      },
    )
  }
  await writeFile(note, `${folder}\n`)
}

/** Writes `nomaly.conf` and has postgresql.conf include it; false when it already said the same. */
export async function writeSettings(
  directory: string,
  account: ServerAccount,
  text: string,
): Promise<boolean> {
  const main = await readFile(join(directory, 'postgresql.conf'), 'utf8')
  const include = "include = 'nomaly.conf'"
  if (!main.includes(include))
    await replaceFile(join(directory, 'postgresql.conf'), `${main.trimEnd()}\n${include}\n`, account)
  const path = join(directory, 'nomaly.conf')
  if ((await readFile(path, 'utf8').catch(() => '')) === text) return false
  await replaceFile(path, text, account)
  return true
}

async function replaceFile(path: string, text: string, account: ServerAccount): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  // `wx` follows no link that the account, which root does not trust, may have laid there.
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(text)
    if (account.switched) await file.chown(account.uid, account.gid)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(draft, path)
  await syncFolder(dirname(path))
}
