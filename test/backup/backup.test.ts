import { randomBytes } from 'node:crypto'
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openBackups } from '../../src/operations/backup/open-backups.ts'
import { swapFolder, undoSwap } from '../../src/operations/backup/swap-folder.ts'
import { type BackupSite, checksumOf, fileHashes, openBackupSite, Writer } from './backup-fixture.ts'

vi.setConfig({ testTimeout: 180_000 })

// One installation for all: they follow each other as they would in the life of one.
let site: BackupSite

beforeAll(async () => {
  site = await openBackupSite()
  await site.ask(
    `create table load (id int, body text); create table kept (id int primary key, body text);
     create unlogged table scratch (id int); insert into scratch select generate_series(1, 1000);
     insert into kept select i, repeat(md5(i::text), 20) from generate_series(1, 20000) i`,
  )
})
afterAll(() => site[Symbol.asyncDispose]())

let fullId: string

test('a table that was dropped under load is restored to just before, every row and every checksum', async () => {
  let kept: { rows: number; sum: string }
  let beforeDrop: number
  let writer: Writer
  {
    await using writing = await Writer.start(site.adminUrl)
    writer = writing
    const backup = await site.engine.create({ kind: 'full', ...site.work })
    fullId = backup.id
    expect(backup).toMatchObject({ kind: 'full', baseId: undefined, timeline: 1, postgresMajor: 18 })
    await site.ask(`update kept set body = body || 'changed' where id % 7 = 0`)
    kept = (await site.ask<typeof kept>(checksumOf('kept')))[0]!
    await sleep(30)
    beforeDrop = Date.now()
    await sleep(30)
    await site.ask('drop table kept')
    await sleep(100)
  }
  await site.engine.flush(site.work.signal)
  const { folder, recovered } = await site.restore(new Date(beforeDrop).toISOString())
  expect(recovered.timeline).toBe(2)
  expect(await site.askRestored(folder, checksumOf('kept'))).toEqual([kept])
  const ids = new Set(
    (await site.askRestored<{ id: number }>(folder, 'select id from load')).map(({ id }) => id),
  )
  const due = writer.writes.filter(({ ackedMs }) => ackedMs !== undefined && ackedMs < beforeDrop)
  const later = writer.writes.filter(({ sentMs }) => sentMs > beforeDrop)
  expect(due.length).toBeGreaterThan(20)
  expect(later.length).toBeGreaterThan(5)
  expect(due.filter(({ id }) => !ids.has(id))).toEqual([])
  expect(later.filter(({ id }) => ids.has(id))).toEqual([])
  // A table without log is there, and empty.
  expect(await site.askRestored(folder, 'select count(*)::int4 as n from scratch')).toEqual([{ n: 0 }])
})

test('a differential backup holds what has changed only, and is restored with the full one', async () => {
  await site.ask(`create table late as select i, md5(i::text) as body from generate_series(1, 1000) i`)
  const backup = await site.engine.create({ kind: 'differential', ...site.work })
  expect(backup).toMatchObject({ kind: 'differential', baseId: fullId })
  const [full] = await site.engine.list(site.work.signal)
  expect(backup.storedBytes).toBeLessThan(full!.storedBytes / 2)
  const late = await site.ask(checksumOf('late'))
  await site.ask('drop table late')
  const { folder } = await site.restore('immediate')
  expect(await site.askRestored(folder, checksumOf('late'))).toEqual(late)
  expect(await site.askRestored(folder, "select 1 from pg_class where relname = 'kept'")).toEqual([])
})

test('a named restore point and a position are found, and what is after them is not there', async () => {
  await site.ask('create table steps (step int); insert into steps values (1)')
  const point = await site.engine.mark('first-step', site.work.signal)
  await site.ask('insert into steps values (2)')
  const [{ lsn }] = (await site.ask<{ lsn: string }>('select pg_current_wal_insert_lsn() as lsn')) as [
    { lsn: string },
  ]
  await site.ask('insert into steps values (3)')
  await site.engine.flush(site.work.signal)
  expect(point.lineage).toBeTruthy()
  const steps = async (to: string) =>
    (
      await site.askRestored<{ step: number }>(
        (await site.restore(to)).folder,
        'select step from steps order by 1',
      )
    ).map(({ step }) => step)
  expect(await steps('first-step')).toEqual([1])
  expect(await steps(lsn)).toEqual([1, 2])
  // Nothing is committed after this moment: the end of the log is its state.
  expect(await steps('latest')).toEqual([1, 2, 3])
  await expect(site.restore('no-such-point')).rejects.toMatchObject({ code: 'unavailable' })
  await expect(site.restore('2020-01-01')).rejects.toMatchObject({ code: 'not_found' })
})

test('everything that is stored is verified, and one altered byte anywhere is found and named', async () => {
  const sound = await site.engine.verify(undefined, site.work)
  expect(sound.faults).toEqual([])
  expect(sound.backups).toBe(2)
  expect(sound.logSegments).toBeGreaterThan(2)
  const before = await fileHashes(site.targetFolder)
  const kinds = [/diff-.*pack-/, /full-.*manifest$/, /diff-.*backup\.json$/, /\/wal\//]
  const names = kinds.map((kind) => [...before.keys()].find((path) => kind.test(path))!)
  for (const path of names) {
    const body = await readFile(path)
    const altered = Buffer.from(body)
    const at = Math.floor(altered.length / 2)
    altered[at] = altered[at]! ^ 1
    await writeFile(path, altered)
    const { faults } = await site.engine.verify(undefined, site.work)
    await writeFile(path, body)
    expect(faults.map(({ file }) => file)).toContain(path.slice(site.targetFolder.length + 1))
    if (path.includes('pack-')) expect(faults[0]!.reason).toMatch(/is altered.*it has data of \S+/)
  }
  expect(await fileHashes(site.targetFolder)).toEqual(before)
})

test('a file that is missing is named, by a verification and by a restore, which then leaves nothing that looks whole', async () => {
  const walFolder = join(site.targetFolder, 'wal', (await readdir(join(site.targetFolder, 'wal')))[0]!)
  const segments = (await readdir(walFolder)).toSorted()
  const gone = segments.at(-2)!
  const path = join(walFolder, gone)
  const body = await readFile(path)
  await rm(path)
  const { faults } = await site.engine.verify(undefined, site.work)
  expect(faults).toMatchObject([{ file: expect.stringContaining(gone.slice(0, 24)), reason: 'is missing' }])
  await expect(site.restore('latest')).rejects.toThrow(
    `The segment ${gone.slice(0, 24)} of the write-ahead log is missing`,
  )
  await writeFile(path, body)
  const pack = join(site.targetFolder, 'backups', fullId, 'pack-000001')
  const packed = await readFile(pack)
  await rm(pack)
  await expect(site.restore('latest')).rejects.toThrow(/pack-000001 in the target is missing/)
  expect((await readdir(site.parent)).filter((name) => name.startsWith('restored-')).length).toBeGreaterThan(
    0,
  )
  await writeFile(pack, packed)
})

test('without the key a backup cannot be read, and that is said', async () => {
  const other = { ...site.config, backupKey: randomBytes(32).toString('base64url') }
  await expect(site.restore('latest', other)).rejects.toMatchObject({
    code: 'forbidden',
    message: expect.stringContaining('another key'),
  })
  const elsewhere = { ...site.config, dataDirectory: join(site.parent, 'elsewhere') }
  await expect(openBackups(elsewhere, { makesKey: false, log: () => {} })).rejects.toMatchObject({
    code: 'not_found',
  })
  // Not even for a new backup is a second key made beside the first one's backups.
  await expect(openBackups(elsewhere, { makesKey: true, log: () => {} })).rejects.toMatchObject({
    code: 'not_found',
  })
  const raw = (
    await Promise.all([...(await fileHashes(site.targetFolder)).keys()].map((path) => readFile(path)))
  ).join('')
  expect(raw).not.toContain('row 1 x')
  expect(raw).not.toContain('load_id')
})

test('only one backup is made at a time', async () => {
  const both = await Promise.allSettled([
    site.engine.create({ kind: 'differential', ...site.work }),
    site.engine.create({ kind: 'differential', ...site.work }),
  ])
  expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
  expect(both.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'conflict' } })
})

test('one that is interrupted leaves nothing, and the next one is made', async () => {
  const before = await fileHashes(site.targetFolder)
  const controller = new AbortController()
  const progress = ({ phase }: { phase: string }): void => {
    if (phase === 'log') controller.abort(new Error('stop'))
  }
  await expect(site.engine.create({ kind: 'full', signal: controller.signal, progress })).rejects.toThrow(
    'stop',
  )
  const backups = [...(await fileHashes(site.targetFolder)).keys()].filter((path) =>
    path.includes('/backups/'),
  )
  expect(backups.toSorted()).toEqual(
    [...before.keys()].filter((path) => path.includes('/backups/')).toSorted(),
  )
  expect((await site.engine.create({ kind: 'differential', ...site.work })).baseId).toBe(fullId)
})

test('the database is put in place of one that runs no more, and back again', async () => {
  await site.ask('create table now_only (id int)')
  const { folder } = await site.restore('first-step')
  await expect(swapFolder(site.config.dataDirectory, folder, new Date())).rejects.toMatchObject({
    code: 'conflict',
  })
  await site.close()
  const find = `select relname from pg_class where relname in ('steps', 'now_only') order by 1`
  const swap = await swapFolder(site.config.dataDirectory, folder, new Date())
  expect(await site.askRestored(site.config.dataDirectory, find)).toEqual([{ relname: 'steps' }])
  // Done already: nothing changes.
  expect(await swapFolder(site.config.dataDirectory, folder, new Date())).toEqual(swap)
  await undoSwap(site.config.dataDirectory)
  expect(await site.askRestored(site.config.dataDirectory, find)).toEqual([
    { relname: 'now_only' },
    { relname: 'steps' },
  ])
  await expect(undoSwap(site.config.dataDirectory)).rejects.toMatchObject({ code: 'not_found' })
})

test('with the data folder gone, target and key suffice; what had not been stored is taken from it while it is there', async () => {
  const key = (await readFile(join(site.config.dataDirectory, 'secrets', 'backup-key'), 'utf8')).trim()
  // Written just before, and never stored: the folder still has it.
  const { folder: whole } = await site.restore('latest')
  expect(await site.askRestored(whole, `select 1 as yes from pg_class where relname = 'now_only'`)).toEqual([
    { yes: 1 },
  ])
  await cp(join(site.config.dataDirectory, 'secrets'), join(site.parent, 'secrets-kept'), { recursive: true })
  await rm(site.config.dataDirectory, { recursive: true })
  const { folder } = await site.restore('latest', { backupKey: key })
  const swap = await swapFolder(site.config.dataDirectory, folder, new Date())
  expect(swap.former).toBeUndefined()
  expect(await site.askRestored(site.config.dataDirectory, 'select step from steps order by 1')).toEqual([
    { step: 1 },
    { step: 2 },
    { step: 3 },
  ])
})
