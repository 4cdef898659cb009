import { expect, test } from 'vitest'
import { parseVerify } from '../../src/operations/backup/pgbackrest/parse-verify.ts'
import { renderConfig, splitOptions } from '../../src/operations/backup/pgbackrest/render-config.ts'
import { parseSnapshots } from '../../src/operations/backup/managed/snapshots.ts'

const SEGMENT = 16_777_216
const AT = '2026-11-24 16:55:51.571'

test('pieces of the log that are missing are named, though the status is ok', () => {
  const text = [
    `${AT} P00 DETAIL: archiveId: 15-1, wal start: 0000000100000000000000FD, wal stop: 0000000100000000000000FE`,
    `${AT} P00 DETAIL: archiveId: 15-1, wal start: 000000010000000100000001, wal stop: 000000010000000100000004`,
    `${AT} P00 DETAIL: archiveId: 15-1, wal start: 000000020000000100000004, wal stop: 000000020000000100000005`,
    'stanza: nomaly',
    'status: ok',
    '  archiveId: 15-1, total WAL checked: 8, total valid WAL: 8',
    '  backup: 20261124-165547F, status: valid, total files checked: 965, total valid files: 965',
  ].join('\n')
  expect(parseVerify(text, SEGMENT)).toMatchObject({
    backups: 1,
    files: 965,
    logSegments: 8,
    faults: [
      { file: '0000000100000000000000FF', reason: expect.stringMatching(/and 1 after it are missing/) },
    ],
  })
})

test('files that are not right are named once, and counted where no name was said', () => {
  const named = [
    `${AT} P01   INFO: file missing '20261124-165547F/pg_data/base/5/1255.zst'`,
    `${AT} P01   INFO: invalid checksum '20261124-165547F_20261124-170000D/pg_data/PG_VERSION.zst'`,
    `${AT} P00   INFO: stanza: nomaly`,
    '  backup: 20261124-165547F, status: invalid, total files checked: 965, total valid files: 963',
  ].join('\n')
  expect(parseVerify(named, SEGMENT).faults).toMatchObject([
    { backupId: '20261124-165547F', reason: 'is missing' },
    { backupId: '20261124-165547F_20261124-170000D' },
  ])
  const unnamed = '  archiveId: 15-1, total WAL checked: 4, total valid WAL: 3'
  expect(parseVerify(unnamed, SEGMENT).faults).toHaveLength(1)
})

test('options for S3 stand in the configuration, and no line is smuggled into it', () => {
  const settings = {
    stanza: 'nomaly',
    repository: 's3://bucket/some/where',
    cipherPass: 'secret',
    keepFull: 4,
    extra: splitOptions('repo1-s3-endpoint=s3.example.org\nrepo1-s3-region=eu-1 compress-level=6'),
    workFolder: '/var/lib/nomaly/work',
    dataDirectory: '/var/lib/postgresql/15/main',
    port: 5432,
    socketFolder: '/run/postgresql',
    user: 'postgres',
    database: 'nomaly',
  }
  expect(renderConfig(settings)).toContain(
    '[global]\nrepo1-type=s3\nrepo1-s3-bucket=bucket\nrepo1-path=/some/where\nrepo1-cipher-type=aes-256-cbc\n',
  )
  expect(renderConfig(settings)).toContain('repo1-s3-endpoint=s3.example.org\n')
  expect(() => renderConfig({ ...settings, user: 'postgres\nrepo1-path=/' })).toThrow(/line break/)
  expect(() => splitOptions('repo1-s3-key')).toThrow(/no name=value/)
})

test('what a provider has is read, and what cannot be read is said', () => {
  const { snapshots } = parseSnapshots(
    '{"snapshots":[{"id":"b","at":"2026-11-20T04:00:00Z","bytes":5},{"id":"a","at":"2026-11-19T04:00:00+01:00"}]}',
  )
  expect(snapshots.map(({ id }) => id)).toEqual(['a', 'b'])
  for (const [text, says] of [
    ['oops', /no JSON/],
    ['{}', /no list/],
    ['{"snapshots":[{"at":"2026-11-20T04:00:00Z"}]}', /snapshots\[0\].id/],
    ['{"snapshots":[{"id":"a","at":"2026-11-20T04:00:00"}]}', /with its zone/],
    ['{"snapshots":[{"id":"a","at":"2026-11-20T04:00:00Z","bytes":-1}]}', /bytes/],
  ] as const)
    expect(() => parseSnapshots(text)).toThrow(says)
})
