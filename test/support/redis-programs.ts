import { execFile } from 'node:child_process'
import { access, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** Debian's packages that hold the server and what it loads. */
const PACKAGES = ['redis-server', 'redis-tools', 'libjemalloc2', 'liblzf1']

/** A server program of one kind, and the environment it needs. */
export interface RedisProgram {
  readonly kind: 'redis' | 'valkey'
  readonly server: string
  readonly environment: Readonly<Record<string, string>>
}

/** Where a run of the tests keeps what it unpacked; removed with the run. */
export function redisProgramsFolder(run: string): string {
  return join(tmpdir(), `nomaly-redis-programs-${run}`)
}

/**
 * Finds a Redis server: `TEST_REDIS_SERVER`, `redis-server` or `valkey-server` on PATH, or Debian's packages, downloaded and unpacked into
 * `cacheFolder`, which needs neither root nor a service.
 * @throws Error that says what was tried: without a server these tests fail, they are not skipped.
 */
export async function findRedisProgram(cacheFolder: string): Promise<RedisProgram> {
  const named = process.env['TEST_REDIS_SERVER']
  if (named !== undefined)
    return { kind: named.includes('valkey') ? 'valkey' : 'redis', server: named, environment: {} }
  const installed = (await findOnPath('redis')) ?? (await findOnPath('valkey'))
  return installed ?? (await unpackPackages(cacheFolder))
}

/** `redis-server` or `valkey-server` as installed here; `undefined` where it is not. */
export async function findOnPath(kind: RedisProgram['kind']): Promise<RedisProgram | undefined> {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  for (const folder of [...folders, '/usr/local/bin', '/usr/bin']) {
    const server = join(folder, `${kind}-server`)
    if (folder !== '' && (await isThere(server))) return { kind, server, environment: {} }
  }
  return undefined
}

async function unpackPackages(folder: string): Promise<RedisProgram> {
  const server = join(folder, 'usr', 'bin', 'redis-server')
  if (!(await isThere(server))) {
    // Beside it and renamed when whole: several test files may want it at once.
    const draft = await mkdtemp(join(tmpdir(), 'nomaly-redis-draft-'))
    try {
      await mkdir(join(draft, 'packages'))
      await execute('apt-get', ['download', '-qq', ...PACKAGES], { cwd: join(draft, 'packages') })
      for (const file of await readdir(join(draft, 'packages')))
        await execute('dpkg-deb', ['-x', join(draft, 'packages', file), join(draft, 'root')])
      await rename(join(draft, 'root'), folder).catch(async (error: Error) => {
        if (!(await isThere(server))) throw error
      })
    } catch (error) {
      throw new Error(
        `No Redis server was found for the tests: TEST_REDIS_SERVER names none, there is no redis-server or valkey-server on PATH, and Debian's packages cannot be downloaded (${(error as Error).message}). Install one, for example with \`apt-get install redis-server\` or \`brew install redis\`.`,
        { cause: error },
      )
    } finally {
      await rm(draft, { recursive: true, force: true })
    }
  }
  const libraries = join(folder, 'usr', 'lib')
  const machines = await readdir(libraries)
  const LD_LIBRARY_PATH = machines.map((machine) => join(libraries, machine)).join(':')
  return { kind: 'redis', server, environment: { LD_LIBRARY_PATH } }
}

async function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  )
}
