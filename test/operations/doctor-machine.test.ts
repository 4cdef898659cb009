import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { secretFiles } from '../../src/config/load.ts'
import { judgeClock } from '../../src/operations/doctor/checks/clock.ts'
import { judgeDisk } from '../../src/operations/doctor/checks/disk.ts'
import { checkReference } from '../../src/operations/doctor/check-reference.ts'
import { CHECKS } from '../../src/operations/doctor/checks.ts'
import { bytesText, durationText } from '../../src/operations/doctor/amounts.ts'
import { look, verdicts } from './look.ts'

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nomaly-doctor-'))
  await mkdir(join(folder, 'secrets'), { mode: 0o700 })
  for (const name of ['admin-key', 'secrets/postgres-password'])
    await writeFile(join(folder, name), 'secret\n', { mode: 0o600 })
  await chmod(folder, 0o711)
})

afterAll(() => rm(folder, { recursive: true, force: true }))

async function said(check: string, changes: Parameters<typeof look>[2] = {}): Promise<string[]> {
  const reports = await look([check], { NOMALY_DATA_DIR: folder }, changes)
  return verdicts(reports.filter((report) => report.check === check))
}

test('secrets that others may read fail, each with its place and mode', async () => {
  expect(await said('secrets')).toEqual(['secrets ok: Files with secrets are readable by their owner only.'])
  const cases = [
    ['', 0o755, 0o711],
    ['secrets', 0o750, 0o700],
    ['secrets/postgres-password', 0o640, 0o600],
    ['admin-key', 0o604, 0o600],
  ] as const
  for (const [name, wrong, right] of cases) {
    const path = join(folder, name)
    await chmod(path, wrong)
    expect(await said('secrets')).toEqual([
      `secrets fail: ${path.replace(/\/$/, '')} has mode 0${wrong.toString(8)}.`,
    ])
    await chmod(path, right)
  }
  expect(await said('secrets')).toEqual([expect.stringMatching(/^secrets ok/)])
})

test('files that variables name may be readable by a group, as containers hand them over, and by nobody else', async () => {
  const path = join(folder, 'database-url')
  await writeFile(path, 'postgresql://…')
  const files = secretFiles({ DATABASE_URL_FILE: path, NOMALY_PORT_FILE: '/port', REDIS_URL_FILE: '' })
  expect(files).toEqual([{ variable: 'DATABASE_URL_FILE', path }])
  await chmod(path, 0o440)
  expect(await said('secrets', { secretFiles: files })).toEqual([expect.stringMatching(/^secrets ok/)])
  await chmod(path, 0o644)
  expect(await said('secrets', { secretFiles: files })).toEqual([`secrets fail: ${path} has mode 0644.`])
})

test('a disk is judged by what is left of it', async () => {
  expect(await said('disk')).toEqual([
    expect.stringMatching(/^disk (ok|warn|fail): [\d.]+ \w+ of [\d.]+ \w+ are free \(\d+ %\)/),
  ])
  const GIB = 1024 ** 3
  const judge = (freeGib: number, totalGib: number) =>
    judgeDisk({ place: '/', freeBytes: freeGib * GIB, totalBytes: totalGib * GIB }).verdict
  expect([judge(50, 100), judge(9, 100), judge(4, 100), judge(0.9, 100)]).toEqual([
    'ok',
    'ok',
    'warn',
    'fail',
  ])
  expect([judge(0.5, 4), judge(0.3, 4), judge(0.07, 4)]).toEqual(['ok', 'warn', 'fail'])
})

test('of two clocks only what the question itself cannot explain counts', () => {
  expect(judgeClock(1_000, 0, 5_000).verdict).toBe('ok')
  expect(judgeClock(1_000, 4_000, 4_010)).toMatchObject({ verdict: 'warn', facts: { apartSeconds: 3 } })
  expect(judgeClock(100_000, 4_000, 4_010).verdict).toBe('fail')
})

test('amounts are written as people read them', () => {
  expect([0, 1023, 1536, 5 * 1024 ** 3, 1e15].map(bytesText)).toEqual([
    '0 bytes',
    '1023 bytes',
    '1.5 kB',
    '5 GB',
    '909 TB',
  ])
  expect([0.25, 90, 600, 10_000, 200_000].map(durationText)).toEqual([
    '0.3 s',
    '90 s',
    '10 min',
    '3 h',
    '2 days',
  ])
})

test('every check has a name of its own and stands in the reference', () => {
  const names = CHECKS.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
  for (const { name, looksAt, why } of CHECKS) {
    expect([name, looksAt, why]).toEqual([
      expect.stringMatching(/^[a-z]+(-[a-z]+)*$/),
      expect.stringMatching(/\.$/),
      expect.stringMatching(/\.$/),
    ])
    expect(checkReference()).toContain(`| \`${name}\` |`)
  }
})
