import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import {
  AT,
  DATASETS,
  DETECTORS,
  METRICS,
  openImportFixture,
  RESULTS,
  temporaryFolder,
  writeSqlite,
} from './import-fixture.ts'

const id = (number: number): string => `${String(number).padStart(8, '0')}-1111-4111-8111-111111111111`
const detector = { id: id(1), algorithm: 'LOF', parameters: '{}', created_at: AT, updated_at: AT }
const dataset = { id: id(2), name: 'set', created_at: AT, updated_at: AT }
const result = { detector_id: id(1), dataset_id: id(2), created_at: AT }

it('of training jobs are kept for reference, their times local unless a zone is given', async () => {
  const { run, admin } = await openImportFixture()
  const path = join(await temporaryFolder(), 'training_jobs.db')
  writeSqlite(path, {
    training_jobs: {
      columns:
        'job_id text primary key, name text, status text, dataset_id text, configuration text, api_token text, created_at timestamp',
      rows: [
        {
          job_id: 'job-1',
          name: 'nightly',
          status: 'queued',
          dataset_id: id(2),
          configuration: '{"n": 12345678901234567890}',
          api_token: 'hush',
          created_at: '2025-06-01T12:00:00.5',
        },
      ],
    },
  })
  const record = async (): Promise<unknown> =>
    (await admin<{ record: string }>('select record::text from nomaly.imported_records')).map(
      (row) => row.record,
    )
  expect(await run(path)).toMatchObject({
    isRight: true,
    jobsZone: 'Europe/Berlin',
    stores: [{ family: 'jobs' }],
  })
  expect(await record()).toEqual([
    expect.stringMatching(/"status": "pending".*"created_at": "2025-06-01T10:00:00\.500000Z"/),
  ])
  expect(JSON.stringify(await record())).toContain('12345678901234567890')
  expect(JSON.stringify(await record())).not.toContain('hush')
  await admin('delete from nomaly.imported_records')
  await run(path, { zone: 'UTC' })
  expect(JSON.stringify(await record())).toContain('2025-06-01T12:00:00.500000Z')
})

it('lose what opens something inside of JSON too, and keep what is only called alike', async () => {
  const { run, admin } = await openImportFixture()
  const path = join(await temporaryFolder(), 'training_jobs.db')
  const configuration = '{"max_tokens": 1.50, "nested": [{"api_key": "hush", "password": "hush", "kept": 1}]}'
  writeSqlite(path, {
    training_jobs: {
      columns:
        'job_id text primary key, name text, status text, dataset_id text, configuration text, created_at timestamp',
      rows: [
        { job_id: 'job-1', name: 'one', status: 'queued', dataset_id: id(2), configuration, created_at: AT },
      ],
    },
  })
  expect(await run(path)).toMatchObject({ isRight: true })
  const [row] = await admin<{ record: { columns: Record<string, unknown> } }>(
    'select record from nomaly.imported_records',
  )
  expect(row!.record.columns['configuration']).toEqual({ max_tokens: 1.5, nested: [{ kept: 1 }] })
})

it('of a JSON store without datasets get them under their ids; with some, what is missing is missing', async () => {
  const { run, admin } = await openImportFixture()
  const folder = await temporaryFolder()
  const write = (name: string, entries: Record<string, unknown>): void =>
    writeFileSync(join(folder, name), JSON.stringify(entries).replaceAll('"NaN"', 'NaN'))
  write('detectors.json', { [id(1)]: { ...detector, contamination_rate: 0.2, name: 'one' } })
  write('results.json', {
    [id(10)]: { ...result, scores: [0.95, 'NaN'], threshold: 0.9, timestamp: '2025-06-01T00:00:00' },
  })
  write('datasets.json', {})
  expect(await run(folder)).toMatchObject({ isRight: true, stores: [{ family: 'JSON' }] })
  expect(await admin('select id, name from nomaly.datasets')).toEqual([
    { id: id(2), name: 'dataset-00000002' },
  ])
  expect(await admin('select contamination from nomaly.row_detectors')).toEqual([{ contamination: 0.2 }])
  expect(await admin('select row_index, severity from nomaly.row_findings')).toEqual([
    { row_index: 0, severity: 'critical' },
  ])
  write('datasets.json', { [id(7)]: { ...dataset, id: id(7) } })
  write('results.json', { [id(11)]: { ...result, dataset_id: id(8), scores: [0.95] } })
  const report = await run(folder)
  expect(report.stores[0]!.quarantine).toMatchObject([{ reason: 'dataset_missing' }])
})

it('that are there already with other content are left as they are', async () => {
  const { run, admin } = await openImportFixture()
  const folder = await temporaryFolder()
  writeSqlite(join(folder, '1.db'), { datasets: { columns: DATASETS, rows: [dataset] } })
  writeSqlite(join(folder, '2.db'), {
    datasets: {
      columns: DATASETS,
      rows: [
        { ...dataset, description: 'changed' },
        { ...dataset, id: id(3), name: 'grown' },
      ],
    },
  })
  await run(join(folder, '1.db'))
  const report = await run(join(folder, '2.db'))
  expect(report).toMatchObject({
    isRight: true,
    stores: [{ tables: [{ stored: 1, quarantined: 1 }], quarantine: [{ reason: 'differs' }] }],
  })
  expect(await admin('select name, description from nomaly.datasets order by 1')).toEqual([
    { name: 'grown', description: '' },
    { name: 'set', description: '' },
  ])
})

it('that break what was promised are found by comparing: a value changed behind its back makes the outcome wrong', async () => {
  const { run, admin } = await openImportFixture()
  const path = join(await temporaryFolder(), 'a.db')
  writeSqlite(path, {
    datasets: { columns: DATASETS, rows: [dataset] },
    detectors: { columns: DETECTORS, rows: [detector] },
    detection_results: {
      columns: RESULTS,
      rows: [{ ...result, id: id(10), scores: '[0.1, 0.95]', labels: '[0, 1]' }],
    },
    metrics: { columns: METRICS, rows: [{ id: 'm', name: 'cpu', value: 1, timestamp: AT }] },
  })
  // Stands for a fault of ours: what is stored is not what was read.
  await admin(`create function spoil() returns trigger language plpgsql as $$ begin new.score := 0.5; return new; end $$;
    create trigger spoil before insert on nomaly.row_findings for each row execute function spoil()`)
  const report = await run(path)
  expect(report.isRight).toBe(false)
  expect(report.stores[0]!.comparisons.filter(({ wrong }) => wrong.length > 0)).toMatchObject([
    { what: 'row findings', wrong: [`${id(10)} 1`] },
  ])
  expect(await admin('select completed_at from nomaly.imports')).toEqual([{ completed_at: null }])
})
