import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type CliResult, runCli } from '../cli/run-cli.ts'
import { type BackupSite, openBackupSite } from './backup-fixture.ts'

vi.setConfig({ testTimeout: 180_000 })

let site: BackupSite

beforeAll(async () => {
  site = await openBackupSite()
  await site.ask('create table notes (text text)')
})
afterAll(() => site[Symbol.asyncDispose]())

function backup(args: readonly string[], env: Record<string, string> = {}): Promise<CliResult> {
  return runCli(['backup', ...args], {
    env: {
      NOMALY_DATA_DIR: site.config.dataDirectory,
      NOMALY_BACKUP_TARGET: site.targetFolder,
      NOMALY_EMBEDDED_DATABASE_PORT: String(site.config.embeddedDatabasePort),
      ...env,
    },
  })
}

test('a backup is made, listed, verified and restored by commands, and a fault ends with 1', async () => {
  const nowhere = await backup(['create'], { NOMALY_BACKUP_TARGET: '' })
  expect(nowhere).toMatchObject({ code: 1, err: expect.stringContaining('Set NOMALY_BACKUP_TARGET') })

  const made = await backup(['create', '--output', 'json'])
  expect(made).toMatchObject({ code: 0, err: expect.stringContaining('nomaly backup key') })
  const { id } = JSON.parse(made.out) as { id: string }

  const key = await backup(['key'])
  expect(key).toMatchObject({ code: 0, out: expect.stringMatching(/^[\w-]{43}\n$/) })
  expect(await backup(['key'])).toMatchObject({ code: 1, err: expect.stringContaining('--again') })

  await site.ask(`insert into notes values ('before')`)
  const point = await backup(['point', 'before-it'])
  expect(point).toMatchObject({ code: 0, out: expect.stringContaining('before-it') })
  await site.ask('drop table notes')

  const list = await backup(['list'])
  expect(list.out).toContain(id)
  expect(list.out).toContain('before-it')
  expect(list.err).toBe('')

  expect(await backup(['verify'])).toMatchObject({
    code: 0,
    out: expect.stringContaining('as it was written'),
  })
  const packs = join(site.targetFolder, 'backups', id)
  const pack = join(
    packs,
    (await readdir(packs)).find((name) => name.startsWith('pack-'))!,
  )
  const body = await readFile(pack)
  const altered = Buffer.from(body)
  altered[1000] = altered[1000]! ^ 128
  await writeFile(pack, altered)
  expect(await backup(['verify'])).toMatchObject({ code: 1, out: expect.stringContaining('pack-000001') })
  expect(await backup(['restore', '--to', 'before-it'])).toMatchObject({
    code: 1,
    err: expect.stringContaining('pack-000001'),
  })
  await writeFile(pack, body)

  const into = join(site.parent, 'elsewhere')
  const restored = await backup(['restore', '--to', 'before-it', '--into', into, '--output', 'json'])
  expect(restored).toMatchObject({ code: 0, err: '' })
  expect(JSON.parse(restored.out)).toMatchObject({
    folder: into,
    backup: { id },
    target: { kind: 'name' },
    timeline: 2,
  })
  expect(await site.askRestored(into, 'select text from notes')).toEqual([{ text: 'before' }])
  expect(await backup(['swap', into, '--yes'])).toMatchObject({
    code: 1,
    err: expect.stringContaining('in use'),
  })
  expect(await backup(['swap', into])).toMatchObject({ code: 1, err: expect.stringContaining('--yes') })
})

test('a schedule is shown, set and ended, and what cannot be one is refused', async () => {
  expect((await backup(['schedule'])).out).toContain('No backups are made by themselves')
  const set = await backup(['schedule', '--full', '0 3 * * 0', '--differential', '0 3 * * 1-6', '-o', 'json'])
  expect(set.code).toBe(0)
  const { schedule, runs } = JSON.parse(set.out) as { schedule: unknown; runs: unknown }
  expect(schedule).toMatchObject([
    { kind: 'full', cron: '0 3 * * 0', nextRunAt: expect.stringContaining('T03:00:00') },
    { kind: 'differential', cron: '0 3 * * 1-6' },
  ])
  expect(runs).toMatchObject([{ kind: 'full', outcome: 'done' }])
  expect(await backup(['schedule', '--full', 'at night'])).toMatchObject({
    code: 1,
    err: expect.stringContaining('fields'),
  })
  expect(JSON.parse((await backup(['schedule', '--off', '-o', 'json'])).out)).toMatchObject({ schedule: [] })
})
