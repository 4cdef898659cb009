import { join } from 'node:path'
import { expect, it } from 'vitest'
import {
  AT,
  DATASETS,
  DETECTORS,
  openImportFixture,
  RESULTS,
  temporaryFolder,
  USERS,
  writeSqlite,
} from './import-fixture.ts'

const id = (number: number): string => `${String(number).padStart(8, '0')}-1111-4111-8111-111111111111`
const BCRYPT = `$2b$12$${'a'.repeat(53)}`
const detector = { id: id(1), algorithm: 'LOF', parameters: '{}', created_at: AT, updated_at: AT }
const dataset = { id: id(2), name: 'set', created_at: AT, updated_at: AT }
const result = { detector_id: id(1), dataset_id: id(2), created_at: AT }

it('that cannot be taken over without guessing are set aside with a reason, and nothing secret beside it', async () => {
  const { run, admin } = await openImportFixture()
  const path = join(await temporaryFolder(), 'a.db')
  writeSqlite(path, {
    datasets: {
      columns: DATASETS,
      rows: [
        dataset,
        { ...dataset, id: id(3), created_at: 'yesterday' },
        { ...dataset, id: id(4), name: null },
      ],
    },
    detectors: {
      columns: DETECTORS,
      rows: [detector, { ...detector, id: id(5), parameters: '{broken' }, { ...detector, id: null }],
    },
    detection_results: {
      columns: RESULTS,
      rows: [
        {
          ...result,
          id: id(10),
          scores: '[0.1, NaN, {"value": 0.8, "confidence": 0.5}, Infinity]',
          labels: '[0, 1, true, null]',
        },
        { ...result, id: id(11), scores: '[0.1]', labels: '[0, 1]' },
        { ...result, id: id(12), scores: '["high"]' },
        { ...result, id: id(13), scores: '[0.1]', labels: '[2]' },
        { ...result, id: id(14), scores: null },
        { ...result, id: id(15), scores: '[0.1]', detector_id: id(99) },
        { ...result, id: id(16), scores: '[0.1]', dataset_id: id(99) },
        { ...result, id: id(17), scores: '[0.4, 0.6]', metadata: '{"threshold": 0.5}' },
        { ...result, id: id(18), scores: '[0.4, 0.6]' },
        { ...result, id: id(10), scores: '[0.2]' },
      ],
    },
    users: {
      columns: USERS,
      rows: [
        {
          id: id(20),
          email: 'a@example.org',
          username: 'a',
          status: 'ACTIVE',
          password_hash: BCRYPT,
          created_at: AT,
          updated_at: AT,
        },
        {
          id: id(21),
          email: 'A@example.org',
          username: 'b',
          status: null,
          password_hash: 'md5:0123',
          created_at: AT,
          updated_at: AT,
        },
        {
          id: id(22),
          email: 'c@example.org',
          username: 'c',
          password_hash: 'plain-secret',
          created_at: 'never',
          updated_at: AT,
        },
      ],
    },
  })
  const report = await run(path)
  expect(report.isRight).toBe(true)
  const aside = report.stores[0]!.quarantine.map(({ table, sourceId, reason, detail }) => [
    table,
    sourceId?.slice(0, 8),
    reason,
    detail,
  ])
  expect(aside).toEqual([
    ['datasets', '00000003', 'unreadable', 'created_at is no time: yesterday'],
    ['datasets', '00000004', 'unreadable', 'name is missing'],
    ['detection_results', '00000011', 'unreadable', 'there are 2 labels for 1 scores'],
    ['detection_results', '00000012', 'unreadable', 'score 0 is no number'],
    ['detection_results', '00000013', 'unreadable', 'label 0 is neither 0 nor 1'],
    ['detection_results', '00000014', 'unreadable', 'scores are no list'],
    ['detection_results', '00000015', 'detector_missing', `its detector ${id(99)} is not there`],
    ['detection_results', '00000016', 'dataset_missing', `its dataset ${id(99)} is not there`],
    [
      'detection_results',
      '00000010',
      'differs',
      'a row of this id is there already, with another scores, confidences, labels',
    ],
    ['detectors', '00000005', 'unreadable', 'parameters is no JSON: {broken'],
    ['detectors', undefined, 'unrecoverable_id', 'id: the id is missing'],
    ['users', '00000021', 'taken', 'another row has what only one may have'],
    ['users', '00000022', 'unreadable', 'created_at is no time: never'],
  ])
  expect(
    await admin(`select scores, confidences, labels from nomaly.row_results where id = '${id(10)}'`),
  ).toEqual([
    {
      scores: [0.1, Number.NaN, 0.8, Number.POSITIVE_INFINITY],
      confidences: [null, null, 0.5, null],
      labels: [false, true, true, null],
    },
  ])
  expect(
    await admin(
      `select left(result_id::text, 8) as result, row_index, score, severity from nomaly.row_findings order by 1, 2`,
    ),
  ).toEqual([
    { result: '00000010', row_index: 1, score: Number.NaN, severity: 'low' },
    { result: '00000010', row_index: 2, score: 0.8, severity: 'high' },
    { result: '00000017', row_index: 1, score: 0.6, severity: 'medium' },
  ])
  const kept = await admin<{ record: unknown }>('select record from nomaly.import_quarantine')
  const everything = JSON.stringify([report, kept])
  for (const secret of [BCRYPT, 'md5:0123', 'plain-secret']) expect(everything).not.toContain(secret)
})

it('of a file in which SQLite made numbers of ids are recovered where that is certain', async () => {
  const { run, admin } = await openImportFixture()
  const path = join(await temporaryFolder(), 'b.db')
  const digits = '00000000000000000123456789012345'
  writeSqlite(path, {
    detectors: {
      columns:
        'id UUID, name text, algorithm_name text, parameters JSON, created_at datetime, updated_at datetime, metadata JSON',
      rows: [
        {
          id: digits,
          name: 'digits',
          algorithm_name: 'LOF',
          parameters: 'null',
          created_at: AT,
          metadata: 'null',
        },
        { id: '12345678901234567890123456789012', name: 'lossy', algorithm_name: 'LOF', created_at: AT },
        { id: 'd6cf5e98789b4216aac8bde910b9f0ad', name: 'hex', algorithm_name: 'LOF', created_at: null },
      ],
    },
    datasets: {
      columns: 'id UUID, name text, created_at datetime',
      rows: [{ id: id(2), name: 'set', created_at: AT }],
    },
    detection_results: {
      columns:
        'id UUID, detector_id UUID, dataset_id UUID, anomaly_scores JSON, anomaly_labels JSON, execution_time_ms float, created_at datetime',
      rows: [
        {
          id: id(30),
          detector_id: digits,
          dataset_id: id(2),
          anomaly_scores: '[1, 0]',
          anomaly_labels: '[1, 0]',
          execution_time_ms: 1.5,
          created_at: AT,
        },
        {
          id: id(31),
          detector_id: '12345678901234567890123456789012',
          dataset_id: id(2),
          anomaly_scores: '[1]',
          created_at: AT,
        },
      ],
    },
  })
  const report = await run(path)
  expect(report).toMatchObject({ isRight: true, stores: [{ family: 'B' }] })
  expect(report.stores[0]!.quarantine.map(({ table, reason }) => [table, reason])).toEqual([
    ['detection_results', 'unrecoverable_id'],
    ['detectors', 'unrecoverable_id'],
  ])
  expect(await admin(`select id, name from nomaly.row_detectors order by name`)).toEqual([
    { id: '00000000-0000-0000-0123-456789012345', name: 'digits' },
    { id: 'd6cf5e98-789b-4216-aac8-bde910b9f0ad', name: 'hex' },
  ])
  expect(await admin('select detector_id, execution_ms, labels from nomaly.row_results')).toEqual([
    { detector_id: '00000000-0000-0000-0123-456789012345', execution_ms: 1.5, labels: [true, false] },
  ])
})
