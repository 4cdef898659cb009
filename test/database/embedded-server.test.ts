import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'

import { Client } from 'pg'
import { describe, expect, test } from 'vitest'

import { findServerProcesses, processExists } from '../../src/database/server-processes.ts'
import { ask, kill, useEmbeddedFixture } from '../support/embedded-fixture.ts'
import { killServer } from '../support/postgres.ts'

const fixture = useEmbeddedFixture()

async function listen(on: number): Promise<Server> {
  const server = createServer()
  server.listen(on, '127.0.0.1')
  await once(server, 'listening')
  return server
}

describe('a first start', () => {
  test('makes a durable database that sorts the same everywhere and keeps its password to itself', async () => {
    const said: string[] = []
    await using server = await fixture.start({ log: (message) => said.push(message) })
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
    expect(said).toContainEqual(expect.stringContaining(`127.0.0.1:${fixture.port}`))
    const commands = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
    expect(commands).not.toContain(password)
    expect(server.adopted).toBe(false)
  })

  test('that was interrupted leaves nothing that hinders the next', async () => {
    await mkdir(join(fixture.folder, 'postgres.new'), { recursive: true })
    await writeFile(join(fixture.folder, 'lock'), '')
    await writeFile(join(fixture.folder, 'postgres.new', 'PG_VERSION'), '18\n')
    await using server = await fixture.start()
    expect(await ask(server.adminUrl, 'select 1 as one')).toEqual([{ one: 1 }])
  })

  test('that is given up ends what it started', async () => {
    fixture.givenDatabase()
    await expect(fixture.start({ signal: AbortSignal.abort() })).rejects.toThrow()
    expect(await findServerProcesses(fixture.directory)).toEqual([])
    await using server = await fixture.start()
    expect(server.pid).toBeGreaterThan(1)
  })
})

describe('the port', () => {
  test('is the next one when the preferred is taken, and stays so when that is free again', async () => {
    fixture.givenDatabase()
    const squatter = await listen(fixture.port)
    const said: string[] = []
    const first = await fixture.start({ log: (message) => said.push(message) })
    expect(first.port).toBeGreaterThan(fixture.port)
    expect(said.join()).toContain(`${first.port} (instead of ${fixture.port})`)
    await first.stop()
    squatter.close()
    await once(squatter, 'close')
    const second = await fixture.start()
    expect(second.port).toBe(first.port)
    await second.stop()
    await using third = await fixture.start({ preferredPort: fixture.port + 100 })
    expect(third.port).toBeGreaterThanOrEqual(fixture.port + 100)
  })
})

describe('a second start', () => {
  test('is refused while the first lives, and told who it is', async () => {
    fixture.givenDatabase()
    const { child, answer } = await fixture.spawnOwner()
    expect(answer.error).toBeUndefined()
    await expect(fixture.start()).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining(`process ${child.pid}`),
    })
    expect(await ask(answer.adminUrl, 'select 1 as one')).toEqual([{ one: 1 }])
  })

  test('takes over the server of one that was killed, with all that was committed', async () => {
    fixture.givenDatabase()
    const { child, answer } = await fixture.spawnOwner()
    await ask(answer.adminUrl, 'create table kept as select 7 as value')
    await kill(child)
    const said: string[] = []
    await using server = await fixture.start({ log: (message) => said.push(message) })
    expect(server.adopted).toBe(true)
    expect(server.pid).toBe(answer.pid)
    expect(server.port).toBe(answer.port)
    expect(said.join()).toContain('Took over')
    expect(await ask(server.adminUrl, 'select value from kept')).toEqual([{ value: 7 }])
  })

  test('replaces a server of other settings that was left', async () => {
    fixture.givenDatabase()
    const { child, answer } = await fixture.spawnOwner()
    await kill(child)
    await using server = await fixture.start({ settings: { work_mem: '5MB' } })
    expect(server.adopted).toBe(false)
    expect(server.pid).not.toBe(answer.pid)
    expect(await ask(server.adminUrl, 'show work_mem')).toEqual([{ work_mem: '5MB' }])
  })
})

describe('after a kill', () => {
  test('of everything, what was committed is there again', async () => {
    fixture.givenDatabase()
    const { child, answer } = await fixture.spawnOwner()
    await ask(answer.adminUrl, 'create table kept as select generate_series(1, 1000) as value')
    await kill(child)
    await killServer(fixture.directory)
    await using server = await fixture.start()
    expect(server.adopted).toBe(false)
    expect(await ask(server.adminUrl, 'select count(*)::int from kept')).toEqual([{ count: 1000 }])
  })

  test('of the postmaster alone, its stopped children are ended before the next start', async () => {
    fixture.givenDatabase()
    const { child, answer } = await fixture.spawnOwner()
    const [orphan] = (await findServerProcesses(fixture.directory)).filter((pid) => pid !== answer.pid)
    process.kill(orphan!, 'SIGSTOP')
    await kill(child)
    process.kill(answer.pid, 'SIGKILL')
    await using server = await fixture.start()
    expect(await ask(server.adminUrl, 'select 1 as one')).toEqual([{ one: 1 }])
    expect(await findServerProcesses(fixture.directory)).not.toContain(orphan)
  })

  test('of the server while its owner lives, the owner starts it again on the same port', async () => {
    fixture.givenDatabase()
    await using server = await fixture.start()
    await ask(server.adminUrl, 'create table kept as select 7 as value')
    const before = server.pid
    await killServer(fixture.directory)
    const answer = async () => await ask(server.adminUrl, 'select value from kept').catch(() => undefined)
    await expect.poll(answer, { timeout: 15_000 }).toEqual([{ value: 7 }])
    await expect.poll(() => server.pid).not.toBe(before)
  })

  test('a postmaster.pid with the number of a stranger neither hinders nor harms', async () => {
    fixture.givenDatabase()
    await (await fixture.start()).stop()
    const stranger = spawn('sleep', ['60'], { stdio: 'ignore' })
    fixture.children.push(stranger)
    await writeFile(
      join(fixture.directory, 'postmaster.pid'),
      `${stranger.pid}\n${fixture.directory}\n1\n${fixture.port}\n\n\n\nready\n`,
    )
    await using server = await fixture.start()
    expect(server.adopted).toBe(false)
    expect(stranger.exitCode).toBeNull()
    expect(processExists(stranger.pid!)).toBe(true)
  })
})

test('a server under signals meant for its terminal goes on until it is stopped', async () => {
  fixture.givenDatabase()
  await using server = await fixture.start()
  const group = execFileSync('ps', ['-o', 'pgid=', '-p', String(server.pid)], { encoding: 'utf8' }).trim()
  expect(Number(group)).toBe(server.pid)
  expect(Number(group)).not.toBe(process.pid)
})

test('a stop ends every process and frees the folder, with clients connected', async () => {
  fixture.givenDatabase()
  const server = await fixture.start()
  const client = new Client({ connectionString: server.adminUrl })
  client.on('error', () => {})
  await client.connect()
  await Promise.all([server.stop(), server.stop()])
  expect(await findServerProcesses(fixture.directory)).toEqual([])
  const log = await readFile(join(fixture.folder, 'logs', 'postgres.log'), 'utf8')
  expect(log).toContain('database system is shut down')
  await (await fixture.start()).stop()
})

test('a lost password is replaced', async () => {
  fixture.givenDatabase()
  const first = await fixture.start()
  await ask(first.adminUrl, 'create table kept as select 7 as value')
  await first.stop()
  await rm(join(fixture.folder, 'secrets'), { recursive: true })
  await using second = await fixture.start()
  expect(second.adminUrl).not.toBe(first.adminUrl)
  expect(await ask(second.adminUrl, 'select value from kept')).toEqual([{ value: 7 }])
})

test('a database of another major version is refused with a hint', async () => {
  fixture.givenDatabase()
  await (await fixture.start()).stop()
  await writeFile(join(fixture.directory, 'PG_VERSION'), '17\n')
  await expect(fixture.start()).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('made by PostgreSQL 17'),
    hint: expect.stringContaining('NOMALY_DATA_DIR'),
  })
})

test('a data directory that is broken is named, with the log to read', async () => {
  fixture.givenDatabase()
  await (await fixture.start()).stop()
  await rm(join(fixture.directory, 'global', 'pg_control'))
  await expect(fixture.start()).rejects.toMatchObject({
    code: 'unavailable',
    hint: expect.stringContaining('postgres.log'),
  })
})
