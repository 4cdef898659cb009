import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, it, onTestFinished } from 'vitest'
import type { NomalyError } from '../../src/errors.ts'
import { AT, DATASETS, digest, openImportFixture, temporaryFolder, writeSqlite } from './import-fixture.ts'

const ID = '11111111-1111-4111-8111-111111111111'

function writeDatasets(path: string, count = 1): void {
  const rows = Array.from({ length: count }, (_, at) => ({
    id: `${String(at).padStart(8, '0')}${ID.slice(8)}`,
    name: `set ${at} ${'x'.repeat(200)}`,
    created_at: AT,
    updated_at: AT,
  }))
  writeSqlite(path, { datasets: { columns: DATASETS, rows } })
}

function look(folder: string): unknown {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .toSorted()
    .map((name) => {
      const { size, mtimeMs, mode } = statSync(join(folder, name))
      const hash = createHash('sha256')
        .update(readFileSync(join(folder, name)))
        .digest('hex')
      return [name, size, mtimeMs, mode, hash]
    })
}

it('are named with what is wrong, and nothing is changed on either side', async () => {
  const { run, admin } = await openImportFixture()
  const folder = await temporaryFolder()
  const at = (name: string): string => join(folder, name)

  writeDatasets(at('cut.db'), 200)
  const whole = readFileSync(at('cut.db'))
  writeFileSync(at('cut.db'), whole.subarray(0, whole.length - 8192))
  writeDatasets(at('scribbled.db'), 200)
  const scribbled = readFileSync(at('scribbled.db'))
  scribbled.fill(0x5a, 8192, 16_384)
  writeFileSync(at('scribbled.db'), scribbled)
  writeFileSync(at('empty.db'), '')
  writeSqlite(at('no-tables.db'), {})
  writeSqlite(at('foreign.db'), { places: { columns: 'id integer, url text', rows: [] } })
  writeSqlite(at('other-users.db'), { users: { columns: 'id integer, login text', rows: [] } })
  writeFileSync(at('text.txt'), 'hello')
  writeFileSync(at('list.json'), '[1, 2]')
  writeFileSync(at('cut.json'), '{"a": {"id": "a", "name": ')
  writeDatasets(at('locked.db'))
  const holder = new DatabaseSync(at('locked.db'))
  onTestFinished(() => holder.close())
  holder.exec('begin exclusive')
  mkdirSync(at('nothing'))

  const before = [JSON.stringify(look(folder)), await digest(admin)]
  const cases: readonly (readonly [file: string, code: string, message: RegExp])[] = [
    ['cut.db', 'invalid_input', /^cut\.db is damaged/],
    ['scribbled.db', 'invalid_input', /^scribbled\.db is damaged/],
    ['empty.db', 'invalid_input', /^empty\.db is empty/],
    ['no-tables.db', 'invalid_input', /^no-tables\.db (?:is empty|has no tables)/],
    ['foreign.db', 'invalid_input', /holds no table of Pynomaly: places \(is no table of Pynomaly\)/],
    ['other-users.db', 'invalid_input', /users \(has no column email, username\)/],
    ['text.txt', 'invalid_input', /neither an SQLite database nor a JSON store/],
    ['list.json', 'invalid_input', /no store of entries by id/],
    ['cut.json', 'invalid_input', /was cut off/],
    ['locked.db', 'conflict', /is locked by another process/],
    ['nothing', 'invalid_input', /holds nothing of Pynomaly/],
    ['missing.db', 'invalid_input', /does not exist/],
  ]
  for (const [file, code, message] of cases) {
    const error = (await run(at(file)).catch((thrown: unknown) => thrown)) as NomalyError
    expect(error.message, file).toMatch(message)
    expect(error).toMatchObject({ name: 'NomalyError', code })
    expect(error.hint, file).toBeTruthy()
  }
  expect([JSON.stringify(look(folder)), await digest(admin)]).toEqual(before)
  expect(await admin('select from nomaly.imports')).toEqual([])
})

it('with a log beside them are read whole, and neither they nor their logs are touched', async () => {
  const { run, admin } = await openImportFixture()
  const folder = await temporaryFolder()
  const [live, copied] = [join(folder, 'live'), join(folder, 'copied')]
  mkdirSync(live)
  mkdirSync(copied)
  const writer = new DatabaseSync(join(live, 'pynomaly.db'))
  onTestFinished(() => writer.close())
  writer.exec(`pragma journal_mode = wal; pragma wal_autocheckpoint = 0; create table datasets (${DATASETS})`)
  const insert = writer.prepare('insert into datasets (id, name, created_at, updated_at) values (?, ?, ?, ?)')
  insert.run(ID, 'in the log only', AT, AT)
  // As a crash leaves it: a log, and nobody who has it open.
  for (const name of readdirSync(live)) copyFileSync(join(live, name), join(copied, name))
  for (const path of [live, copied]) {
    const before = look(path)
    expect(JSON.stringify(before)).toContain('pynomaly.db-wal')
    expect(await run(join(path, 'pynomaly.db'), { again: true })).toMatchObject({
      isRight: true,
      stores: [{ tables: [{ table: 'datasets', rows: 1, quarantined: 0 }] }],
    })
    expect(look(path)).toEqual(before)
  }
  // Closed in order, it still asks every reader for an index beside it.
  writer.exec('pragma wal_checkpoint(truncate)')
  const alone = join(folder, 'alone')
  mkdirSync(alone)
  copyFileSync(join(live, 'pynomaly.db'), join(alone, 'pynomaly.db'))
  const before = look(alone)
  expect(await run(join(alone, 'pynomaly.db'))).toMatchObject({ isRight: true })
  expect(look(alone)).toEqual(before)
  expect(await admin('select name from nomaly.datasets')).toEqual([{ name: 'in-the-log-only' }])
})

it('that were left by a crash in the middle of a transaction are read as they were before it', async () => {
  const { run, admin } = await openImportFixture()
  const folder = await temporaryFolder()
  const path = join(folder, 'pynomaly.db')
  writeDatasets(path, 50)
  const writer = new DatabaseSync(path)
  onTestFinished(() => writer.close())
  // A small cache makes it write to the file before it commits, with what was there before in the journal.
  writer.exec(`pragma cache_size = 1; begin; update datasets set name = 'half done' || name`)
  const crashed = join(folder, 'crashed')
  mkdirSync(crashed)
  for (const name of ['pynomaly.db', 'pynomaly.db-journal'])
    copyFileSync(join(folder, name), join(crashed, name))
  const before = look(crashed)
  await run(join(crashed, 'pynomaly.db'))
  expect(look(crashed)).toEqual(before)
  expect(await admin(`select from nomaly.datasets where name like 'half%'`)).toEqual([])
  expect(await admin('select from nomaly.datasets')).toHaveLength(50)
})

it('that nobody may write to are read like others', async () => {
  const { run } = await openImportFixture()
  const folder = await temporaryFolder()
  const path = join(folder, 'pynomaly.db')
  writeDatasets(path)
  chmodSync(path, 0o444)
  chmodSync(folder, 0o555)
  onTestFinished(() => chmodSync(folder, 0o755))
  const before = look(folder)
  expect(await run(path)).toMatchObject({ isRight: true })
  expect(look(folder)).toEqual(before)
})
