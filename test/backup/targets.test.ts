import { randomBytes } from 'node:crypto'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FolderTarget } from '../../src/operations/backup/target/folder-target.ts'
import { openTarget } from '../../src/operations/backup/target/open-target.ts'
import { S3Target } from '../../src/operations/backup/target/s3-target.ts'
import type { BackupTarget } from '../../src/operations/backup/target/backup-target.ts'
import { testConfig } from '../support/nomaly.ts'
import { S3_LOGIN, S3Server } from './s3-server.ts'

const signal = AbortSignal.timeout(60_000)
let folder: string
let s3: S3Server

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nomaly-backup-target-'))
  s3 = await S3Server.start()
})
afterEach(async () => {
  await s3[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

function bucket(changes: Partial<ConstructorParameters<typeof S3Target>[0]> = {}): S3Target {
  const { endpoint, bucket: name, region } = s3
  const login = { ...S3_LOGIN, sessionToken: undefined }
  return new S3Target({ bucket: name, prefix: 'a/b/', endpoint, region, ...login, ...changes })
}

describe.each<[string, () => BackupTarget]>([
  ['a folder', () => new FolderTarget(join(folder, 'made', 'later'), Date.now)],
  ['a bucket', () => bucket()],
  ['a bucket that takes files in parts', () => bucket({ partBytes: 1000 })],
])('%s', (_, open) => {
  test('keeps what it is given, lists it by name, and lets go of it', async () => {
    const target = open()
    expect(await target.isEmpty(signal)).toBe(true)
    const bodies = new Map(
      ['x/one', 'x/two', 'y/three', 'x/z/four', 'x/z/five-1763999999000'].map((name) => [
        name,
        randomBytes(5_500),
      ]),
    )
    for (const [name, body] of bodies) await target.put(name, body, signal)
    expect(await target.isEmpty(signal)).toBe(false)
    for (const [name, body] of bodies) expect((await target.get(name, signal))!.equals(body), name).toBe(true)
    expect(await target.list('x/', signal)).toEqual(
      [...bodies.keys()]
        .filter((name) => name.startsWith('x/'))
        .toSorted()
        .map((name) => ({ name, bytes: 5_500 })),
    )
    expect((await target.list('', signal)).length).toBe(5)
    expect(await target.get('x/none', signal)).toBeUndefined()
    await target.put('x/one', Buffer.from('replaced'), signal)
    expect(String(await target.get('x/one', signal))).toBe('replaced')
    await target.remove(['x/one', 'x/none', 'y/three'], signal)
    expect((await target.list('', signal)).map(({ name }) => name)).toEqual([
      'x/two',
      'x/z/five-1763999999000',
      'x/z/four',
    ])
  })
})

test('a bucket is asked again while it is busy, and a refusal is said at once', async () => {
  s3.failures = 2
  await bucket().put('name', Buffer.from('body'), signal)
  expect(s3.requests.length).toBe(3)
  s3.requests.length = 0
  await expect(bucket({ secretAccessKey: 'wrong' }).put('name', Buffer.from('body'), signal)).rejects.toThrow(
    /refused a PUT: SignatureDoesNotMatch/,
  )
  expect(s3.requests.length).toBe(1)
})

test('an upload in parts that fails leaves nothing behind', async () => {
  s3.isFull = true
  await expect(bucket({ partBytes: 1000 }).put('name', randomBytes(5_000), signal)).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('QuotaExceeded'),
  })
  expect(s3.openUploads).toBe(0)
  expect(s3.files.size).toBe(0)
})

test.skipIf(process.getuid?.() !== 0)(
  'a disk that fills up is told of, and nothing half written stays',
  async () => {
    const small = join(folder, 'small')
    await mkdir(small)
    try {
      await promisify(execFile)('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', small])
    } catch (error) {
      console.warn(`skipped: no file system can be mounted here (${(error as Error).message.trim()})`)
      return
    }
    try {
      const target = new FolderTarget(join(small, 'backups'), Date.now)
      await target.put('fits', randomBytes(1_000), signal)
      await expect(target.put('a/too-large', randomBytes(1_000_000), signal)).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringContaining('the disk is full'),
      })
      expect((await target.list('', signal)).map(({ name }) => name)).toEqual(['fits'])
      expect(await readdir(join(small, 'backups', 'a'))).toEqual([])
      expect(await target.freeBytes()).toBeLessThan(262_144)
    } finally {
      await promisify(execFile)('umount', [small])
    }
  },
)

test('drafts that nobody finished are never listed, and go after a day', async () => {
  const target = new FolderTarget(folder, () => Date.now() + 90_000_000)
  await writeFile(join(folder, 'pack.1234.part'), 'half')
  await target.put('pack', Buffer.from('whole'), signal)
  expect((await target.list('', signal)).map(({ name }) => name)).toEqual(['pack'])
  expect(await readdir(folder)).toEqual(['pack'])
})

test('a target in the data folder, or none at all, is refused with a hint', () => {
  const config = (backupTarget: string | undefined) => testConfig({ dataDirectory: folder, backupTarget })
  expect(() => openTarget(config(undefined))).toThrow(/not said where/)
  expect(() => openTarget(config(join(folder, 'backups')))).toThrow(/in the data folder/)
  expect(() => openTarget(config(folder))).toThrow(/in the data folder/)
  expect(openTarget(config(`${folder}-backups`)).place).toBe(`${folder}-backups`)
  expect(() => openTarget(config('ftp://host/path'))).toThrow(/must be a folder or s3/)
  expect(() => openTarget(config('s3://bucket/prefix'))).toThrow(/its keys are needed/)
})
