import { randomUUID } from 'node:crypto'
import { appendFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Erasure } from '../../src/operations/erasure/erasure.ts'
import { LedgerFile } from '../../src/operations/erasure/ledger-file.ts'

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'w-erase-ledger-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  return path
}

function erasure(): Erasure {
  return {
    id: randomUUID(),
    installationId: randomUUID(),
    requestedAt: '2026-11-20T12:00:00.000Z',
    subject: { kind: 'series', tenantId: randomUUID(), sources: [{ id: randomUUID(), series: [1, 2] }] },
  }
}

test('what was added is read again, once each, and only its owner can read the file', async () => {
  const file = new LedgerFile(join(await folder(), 'below', 'erasures.ndjson'))
  expect(await file.read()).toEqual([])
  const [first, second] = [erasure(), erasure()]
  await file.add([first])
  await file.add([first, { ...second, subject: { kind: 'tenant', tenantId: randomUUID() } }])
  const [read, other] = await file.read()
  expect(read).toEqual(first)
  expect(other).toMatchObject({ id: second.id, subject: { kind: 'tenant' } })
  expect(await file.read()).toHaveLength(2)
  expect((await stat(file.path)).mode & 0o777).toBe(0o600)
})

test('a line that a crash cut off is none, and does not spoil the next', async () => {
  const file = new LedgerFile(join(await folder(), 'erasures.ndjson'))
  const [first, second] = [erasure(), erasure()]
  await file.add([first])
  await appendFile(file.path, JSON.stringify(second).slice(0, 40))
  expect(await file.read()).toEqual([first])
  await file.add([second])
  expect(await file.read()).toEqual([first, second])
})

test('a file that is no ledger is not read past what it is', async () => {
  const path = join(await folder(), 'erasures.ndjson')
  await new LedgerFile(path).add([erasure()])
  const whole = await readFile(path, 'utf8')
  for (const broken of ['{"id":1}\n', 'hello\n', whole.replace('"kind":"series"', '"kind":"planet"')]) {
    await writeFile(path, whole + broken)
    await expect(new LedgerFile(path).read(), broken).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('line 2'),
    })
  }
})

test('the copy is in the data folder only where that is one', async () => {
  const dataDirectory = await folder()
  expect(await LedgerFile.of({ dataDirectory, erasureLedger: '' })).toBeUndefined()
  await writeFile(join(dataDirectory, 'lock'), '')
  expect((await LedgerFile.of({ dataDirectory, erasureLedger: '' }))?.path).toBe(
    join(dataDirectory, 'erasures.ndjson'),
  )
  expect((await LedgerFile.of({ dataDirectory, erasureLedger: '/mnt/ledger' }))?.path).toBe('/mnt/ledger')
})
