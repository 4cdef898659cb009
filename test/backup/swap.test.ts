import { mkdir, mkdtemp, readdir, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openDataFolder } from '../../src/database/data-folder.ts'
import { readSwap, swapFolder, undoSwap } from '../../src/operations/backup/swap-folder.ts'

const AT = new Date('2026-11-20T15:00:00Z')
let parent: string
let data: string
let restored: string

beforeEach(async () => {
  parent = await realpath(await mkdtemp(join(tmpdir(), 'nomaly-swap-')))
  data = await folderWith('data', 'old')
  restored = await folderWith('restored', 'new')
})
afterEach(() => rm(parent, { recursive: true, force: true }))

/** A data folder whose database is a file that says which one it is. */
async function folderWith(name: string, database: string): Promise<string> {
  const path = join(parent, name)
  await (await openDataFolder(path, { role: 'test' }))[Symbol.asyncDispose]()
  await mkdir(join(path, 'postgres'))
  await writeFile(join(path, 'postgres', 'which'), database)
  return path
}

async function which(folder: string): Promise<string | undefined> {
  return readFile(join(folder, 'postgres', 'which'), 'utf8').catch(() => undefined)
}

test('two databases change places, once however often it is said, and change back', async () => {
  const swap = await swapFolder(data, restored, AT)
  expect([await which(data), await which(restored), await which(swap.former!)]).toEqual([
    'new',
    undefined,
    'old',
  ])
  expect(await swapFolder(data, restored, AT)).toEqual(swap)
  expect(await which(data)).toBe('new')
  await undoSwap(data)
  expect([await which(data), await which(restored)]).toEqual(['old', 'new'])
  expect(await readdir(join(data, 'former'))).toEqual([])
  await expect(undoSwap(data)).rejects.toMatchObject({ code: 'not_found' })
})

test('a swap that was interrupted at any moment is finished by the same call, or taken back', async () => {
  for (const end of [() => swapFolder(data, restored, AT), () => undoSwap(data)])
    for (const moved of [0, 1]) {
      const { former } = await swapFolder(data, restored, AT)
      // As it was after the note, and after the first of the two moves.
      await rename(join(data, 'postgres'), join(restored, 'postgres'))
      if (moved === 0) await rename(join(former!, 'postgres'), join(data, 'postgres'))
      await end()
      const isUndone = (await readSwap(data)) === undefined
      expect(await which(data), `${moved} moved`).toBe(isUndone ? 'old' : 'new')
      if (!isUndone) await undoSwap(data)
      expect([await which(data), await which(restored)]).toEqual(['old', 'new'])
    }
})

test('taking it back that was interrupted is finished by the same call', async () => {
  for (const moved of [1, 2]) {
    const { former } = await swapFolder(data, restored, AT)
    await rename(join(data, 'postgres'), join(restored, 'postgres'))
    if (moved === 2) await rename(join(former!, 'postgres'), join(data, 'postgres'))
    await undoSwap(data)
    expect([await which(data), await which(restored)]).toEqual(['old', 'new'])
  }
})

test('a second restore takes the place of the first, and each former database is kept', async () => {
  const first = await swapFolder(data, restored, AT)
  const other = await folderWith('other', 'newer')
  const second = await swapFolder(data, other, new Date(AT.getTime() + 60_000))
  expect([await which(data), await which(first.former!), await which(second.former!)]).toEqual([
    'newer',
    'old',
    'new',
  ])
  await undoSwap(data)
  expect(await which(data)).toBe('new')
})

test('into an empty data folder there is nothing to keep, and to take back is to move out again', async () => {
  await rm(data, { recursive: true })
  expect((await swapFolder(data, restored, AT)).former).toBeUndefined()
  expect(await which(data)).toBe('new')
  await undoSwap(data)
  expect([await which(data), await which(restored)]).toEqual([undefined, 'new'])
})

test('folders that are in use, or no data folders, are refused and left as they are', async () => {
  {
    await using _ = await openDataFolder(data, { role: 'start' })
    await expect(swapFolder(data, restored, AT)).rejects.toMatchObject({ code: 'conflict' })
  }
  {
    await using _ = await openDataFolder(restored, { role: 'start' })
    await expect(swapFolder(data, restored, AT)).rejects.toMatchObject({ code: 'conflict' })
  }
  await expect(swapFolder(data, parent, AT)).rejects.toMatchObject({ code: 'not_found' })
  await expect(swapFolder(data, data, AT)).rejects.toMatchObject({ code: 'not_found' })
  expect([await which(data), await which(restored)]).toEqual(['old', 'new'])
})

test('what was restored into the same folder again meanwhile costs nobody a database', async () => {
  const { former } = await swapFolder(data, restored, AT)
  await mkdir(join(restored, 'postgres'))
  await writeFile(join(restored, 'postgres', 'which'), 'newer')
  await expect(undoSwap(data)).rejects.toMatchObject({ code: 'conflict' })
  expect([await which(data), await which(restored), await which(former!)]).toEqual(['new', 'newer', 'old'])
})
