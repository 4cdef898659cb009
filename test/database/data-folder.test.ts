import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

import { afterEach, beforeEach, expect, test } from 'vitest'

import { openDataFolder, readFolderOwner } from '../../src/database/data-folder.ts'
import { processMark } from '../../src/database/server-processes.ts'

let parent: string
let folder: string

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'nomaly-folder-'))
  folder = join(parent, 'data')
})

afterEach(async () => {
  await rm(parent, { recursive: true, force: true })
})

const moduleUrl = pathToFileURL(join(import.meta.dirname, '../../src/database/data-folder.ts')).href

/** Another process that opens the folder and keeps it; says `open`, or why not. */
function spawnOwner() {
  const script = `
    import { openDataFolder } from ${JSON.stringify(moduleUrl)}
    try {
      await openDataFolder(${JSON.stringify(folder)}, { role: 'start', url: 'http://127.0.0.1:8420' })
      console.log('open')
      setInterval(() => {}, 1000)
    } catch (error) { console.log(error.code + ': ' + error.message) }`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const line = once(createInterface(child.stdout), 'line').then(([text]) => text as string)
  return { child, line }
}

test('nobody else can look into a new folder, nor read its secrets, and git does not see it', async () => {
  await using data = await openDataFolder(folder, { role: 'start' })
  await data.secret('some-key')
  expect((await stat(folder)).mode & 0o066).toBe(0)
  expect((await stat(join(folder, 'secrets'))).mode & 0o777).toBe(0o700)
  for (const file of ['secrets/some-key', 'owner.json', 'lock']) {
    expect((await stat(join(folder, file))).mode & 0o777).toBe(0o600)
  }
  expect(await readFile(join(folder, '.gitignore'), 'utf8')).toBe('*\n')
})

test('a folder that others could read is closed to them', async () => {
  await mkdir(folder)
  await chmod(folder, 0o777)
  await using _data = await openDataFolder(folder, { role: 'start' })
  expect((await stat(folder)).mode & 0o066).toBe(0)
})

test('a secret is 32 random bytes, and the same for all who ask at once and later', async () => {
  const data = await openDataFolder(folder, { role: 'start' })
  const first = await Promise.all(Array.from({ length: 8 }, () => data.secret('some-key')))
  expect(new Set(first).size).toBe(1)
  expect(Buffer.from(first[0]!, 'base64url')).toHaveLength(32)
  expect(await data.secret('other-key')).not.toBe(first[0])
  await data[Symbol.asyncDispose]()
  await using again = await openDataFolder(folder, { role: 'start' })
  expect(await again.secret('some-key')).toBe(first[0])
  await expect(again.secret('../owner')).rejects.toThrow('no name for a secret')
})

test('a folder with other things in it is left alone', async () => {
  await mkdir(folder)
  await writeFile(join(folder, 'thesis.txt'), 'precious')
  await expect(openDataFolder(folder, { role: 'start' })).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('thesis.txt'),
    hint: expect.stringContaining('NOMALY_DATA_DIR'),
  })
})

test('a path through a file is refused with a hint', async () => {
  await writeFile(folder, '')
  await expect(openDataFolder(join(folder, 'deeper'), { role: 'start' })).rejects.toMatchObject({
    code: 'unavailable',
    hint: expect.stringContaining('NOMALY_DATA_DIR'),
  })
})

test('while one process has it, another is told who and where; killed, it is free', async () => {
  const { child, line } = spawnOwner()
  expect(await line).toBe('open')
  await expect(openDataFolder(folder, { role: 'start' })).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringMatching(new RegExp(`process ${child.pid} \\(start, .*http://127.0.0.1:8420`)),
  })
  expect(await readFolderOwner(folder)).toMatchObject({
    pid: child.pid,
    role: 'start',
    alive: true,
    signalable: true,
  })
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(await readFolderOwner(folder)).toMatchObject({ pid: child.pid, alive: false, signalable: false })
  const data = await openDataFolder(folder, { role: 'start' })
  await data.recordOwner({ port: 8421, url: 'http://127.0.0.1:8421' })
  expect(await readFolderOwner(folder)).toMatchObject({ pid: process.pid, port: 8421, alive: true })
  await data[Symbol.asyncDispose]()
  expect(await readFolderOwner(folder)).toBeUndefined()
})

test('a later process with the number of the owner is not taken for it', async () => {
  await using _data = await openDataFolder(folder, { role: 'start' })
  const record = JSON.parse(await readFile(join(folder, 'owner.json'), 'utf8')) as { mark: string }
  expect(record.mark).toBe(await processMark(process.pid))
  await writeFile(join(folder, 'owner.json'), JSON.stringify({ ...record, mark: `${record.mark}0` }))
  expect(await readFolderOwner(folder)).toMatchObject({ alive: true, signalable: false })
})

test('of processes that open it at once, one wins and the others are told', async () => {
  const owners = Array.from({ length: 5 }, spawnOwner)
  const lines = await Promise.all(owners.map(({ line }) => line))
  for (const { child } of owners) child.kill('SIGKILL')
  expect(lines.filter((line) => line === 'open')).toHaveLength(1)
  expect(lines.filter((line) => line.startsWith('conflict: '))).toHaveLength(4)
})

test('nobody owns a folder that is not there', async () => {
  expect(await readFolderOwner(folder)).toBeUndefined()
})
