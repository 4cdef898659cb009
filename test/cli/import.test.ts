import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { AT, DATASETS, DETECTORS, RESULTS, writeSqlite } from '../import/import-fixture.ts'
import { startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { type CliResult, runCli } from './run-cli.ts'

const id = (number: number): string => `0000000${number}-1111-4111-8111-111111111111`
let nomaly: TestNomaly
let folder: string

beforeAll(async () => {
  nomaly = await startTestNomaly()
  folder = await mkdtemp(join(tmpdir(), 'nomaly-test-import-cli-'))
  const times = { created_at: AT, updated_at: AT }
  writeSqlite(join(folder, 'a.db'), {
    datasets: { columns: DATASETS, rows: [{ id: id(1), name: 'A set', ...times }] },
    detectors: { columns: DETECTORS, rows: [{ id: id(2), algorithm: 'LOF', model_data: 'gASV', ...times }] },
    detection_results: {
      columns: RESULTS,
      rows: [1, 9].map((dataset) => ({
        id: id(dataset + 2 - (dataset % 3)),
        detector_id: id(2),
        dataset_id: id(dataset),
        scores: '[0.1, 0.97]',
        labels: '[0, 1]',
        created_at: AT,
      })),
    },
    api_keys: { columns: 'id text, key_hash text', rows: [{ id: 'k', key_hash: 'hush' }] },
  })
})

afterAll(async () => {
  await nomaly[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

function cli(...args: string[]): Promise<CliResult> {
  return runCli(['import', 'pynomaly', ...args], {
    env: { DATABASE_URL: nomaly.databaseUrl, NOMALY_DATA_DIR: join(folder, 'data') },
  })
}

it('plans, imports and says so again, beside a running server', async () => {
  const plan = await cli(join(folder, 'a.db'), '--dry-run')
  expect(plan.code, plan.err).toBe(0)
  expect(plan.out).toMatch(/a\.db, family A\n/)
  expect(plan.out).toMatch(/Nothing was changed\. 1 row would be set aside/)
  expect((await nomaly.request('GET', '/v1/datasets')).body.items).toEqual([])

  const done = await cli(join(folder, 'a.db'))
  expect(done.code, done.err).toBe(0)
  expect(done.out).toMatch(/detection_results +2 +1 +0 +1 +1 row finding\n/)
  expect(done.out).toContain('filled in detectors: model: a pickle, which is never loaded, was left out (1)')
  expect(done.out).toContain('left out api_keys, 1 row')
  expect(done.out).toMatch(/set aside detection_results .*: its dataset .* is not there/)
  expect(done.out).toMatch(/✓ +row findings +1 +1 +([0-9a-f]{16}) +\1\n/)
  expect(done.out).toContain('The database holds exactly what the source has. 1 row was set aside')
  expect((await nomaly.request('GET', '/v1/datasets')).body.items).toMatchObject([
    { id: id(1), name: 'A-set' },
  ])

  const again = await cli(join(folder, 'a.db'), '-o', 'json')
  expect(JSON.parse(again.out)).toMatchObject({ isRight: true, stores: [{ isRepeated: true }] })

  const reports = (await readdir(join(folder, 'data', 'imports'))).toSorted()
  expect(reports.map((name) => name.replace(/-20.*\./, '.'))).toEqual([
    'import.json',
    'import.md',
    'import.json',
    'import.md',
    'plan.json',
    'plan.md',
  ])
  const text = await readFile(join(folder, 'data', 'imports', reports[1]!), 'utf8')
  expect(text).toMatch(/^# Import from Pynomaly\n/)
  expect(text).toMatch(/\| detection_results \| 2 \| 1 \| 0 \| 1 \| 1 \|/)
  expect(text).toMatch(/\| ✓ datasets \| 1 \| 1 \|/)
  expect(text + done.out + again.out).not.toContain('hush')
})

it('says what is wrong with a source, and what to do', async () => {
  const missing = await cli(join(folder, 'nothing.db'))
  expect(missing.code).toBe(1)
  expect(missing.err).toMatch(/does not exist\. Nothing was changed\.[\s\S]*Check the path/)
  const zone = await cli(join(folder, 'a.db'), '--zone', 'Mars')
  expect(zone.code).toBe(1)
  expect(zone.err).toContain('no time zone')
})
