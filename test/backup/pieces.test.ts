import { randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BackupKey } from '../../src/operations/backup/backup-key.ts'
import { listClusterFiles } from '../../src/operations/backup/cluster-files.ts'
import {
  firstBlock,
  isSoundPage,
  isUsedPage,
  PAGE_BYTES,
  pageChecksum,
} from '../../src/operations/backup/page-checksum.ts'
import { openPiece, sealPiece, Unreadable } from '../../src/operations/backup/sealed-piece.ts'
import { Throttle } from '../../src/operations/backup/throttle.ts'
import { startTestServer, type TestServer } from '../support/postgres.ts'
import { askAt } from './backup-fixture.ts'

describe('a sealed piece', () => {
  const key = randomBytes(32)

  test.each([0, 1, 1_000, 1_048_576, 3_000_000])('of %i bytes comes back as it was', async (length) => {
    for (const plain of [randomBytes(length), Buffer.alloc(length, 'ab')]) {
      const sealed = await sealPiece(key, 'label', plain)
      expect((await openPiece(key, 'label', sealed, length)).equals(plain)).toBe(true)
      expect(sealed.length).toBeLessThanOrEqual(length + 29)
    }
  })

  test('opens with its own key and label only, and not with any bit changed', async () => {
    const sealed = await sealPiece(key, 'label', Buffer.from('some text that is private'))
    expect(sealed.includes('private')).toBe(false)
    await expect(openPiece(randomBytes(32), 'label', sealed, 100)).rejects.toThrow(Unreadable)
    await expect(openPiece(key, 'other', sealed, 100)).rejects.toThrow(Unreadable)
    for (let at = 0; at < sealed.length; at++) {
      const altered = Buffer.from(sealed)
      altered[at] = altered[at]! ^ (1 << (at % 8))
      await expect(openPiece(key, 'label', altered, 100), `byte ${at}`).rejects.toThrow(Unreadable)
    }
    for (const length of [0, 10, sealed.length - 1])
      await expect(openPiece(key, 'label', sealed.subarray(0, length), 100)).rejects.toThrow(Unreadable)
  })
})

test('a key is read as it was printed, and says nothing about itself', () => {
  const text = randomBytes(32).toString('base64url')
  const key = BackupKey.parse(`${text}\n`)
  expect(key.id).toBe(BackupKey.parse(text).id)
  expect(text).not.toContain(key.id)
  expect(key.derive('a').equals(key.derive('b'))).toBe(false)
  expect(key.sign('text')).not.toBe(key.sign('texu'))
  for (const wrong of ['', 'short', `${text}a`, `${text.slice(1)}=`])
    expect(() => BackupKey.parse(wrong)).toThrow(/is none/)
})

test('a throttle lets through what its rate says', async () => {
  const signal = new AbortController().signal
  const throttle = new Throttle(1_000_000, () => performance.now())
  const startedAt = performance.now()
  for (let at = 0; at < 40; at++) await throttle.take(10_000, signal)
  // 400,000 bytes less what may be taken at once.
  expect(performance.now() - startedAt).toBeGreaterThan(300)
})

describe('the files of a cluster', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startTestServer({ durable: true })
    await askAt(
      server.adminUrl,
      `create table t as select i, md5(i::text) as body from generate_series(1, 30000) i; create index on t (body);
       create unlogged table u (i int)`,
    )
    await askAt(server.adminUrl, 'vacuum t')
    await askAt(server.adminUrl, 'checkpoint')
  })
  afterAll(() => server.stop())

  test('have the checksums that PostgreSQL gave them, and not those of another place or content', async () => {
    const { files } = await listClusterFiles(server.directory)
    let pages = 0
    for (const path of files) {
      const block = firstBlock(path)
      if (block === undefined) continue
      const body = await readFile(join(server.directory, path))
      for (let at = 0; at + PAGE_BYTES <= body.length; at += PAGE_BYTES) {
        const page = body.subarray(at, at + PAGE_BYTES)
        if (!isUsedPage(page)) continue
        pages++
        const number = block + at / PAGE_BYTES
        if (!isSoundPage(page, number)) throw new Error(`${path} ${at}`)
        if (pages % 50 !== 0) continue
        expect(pageChecksum(page, number + 1)).not.toBe(page.readUInt16LE(8))
        page[5_000] = page[5_000]! ^ 4
        expect(isSoundPage(page, number)).toBe(false)
      }
    }
    expect(pages).toBeGreaterThan(1_000)
  })

  test('are all but those that PostgreSQL makes anew', async () => {
    const { files, folders } = await listClusterFiles(server.directory)
    const [row] = await askAt<{ unlogged: string; kept: string }>(
      server.adminUrl,
      `select pg_relation_filepath('u') as unlogged, pg_relation_filepath('t') as kept`,
    )
    expect(files).toContain(row!.kept)
    expect(files).not.toContain(row!.unlogged)
    expect(files).toContain(`${row!.unlogged}_init`)
    expect(files.at(-1)).toBe('global/pg_control')
    expect(files.filter((path) => /^pg_wal\/|postmaster|^pg_stat_tmp\/|internal\.init/.test(path))).toEqual(
      [],
    )
    expect(folders).toContain('pg_wal/archive_status')
    expect(await readdir(server.directory)).toContain('postmaster.pid')
    expect(firstBlock('base/5/16384.3')).toBe(3 * 131_072)
    expect(firstBlock('base/5/16384_vm')).toBe(0)
    expect(firstBlock('pg_xact/0000')).toBeUndefined()
    expect(firstBlock('global/pg_control')).toBeUndefined()
  })
})
