import { parseLsn } from '../../src/database/replicas/lsn.ts'
import { describe, expect, test } from 'vitest'
import type { RestoreTarget } from '../../src/operations/backup/backup-engine.ts'
import type { BackupRecord } from '../../src/operations/backup/backup-record.ts'
import { chooseBackup } from '../../src/operations/backup/choose-backup.ts'
import { planLog } from '../../src/operations/backup/log-plan.ts'
import { parseRestoreTarget } from '../../src/operations/backup/parse-restore-target.ts'
import { expired } from '../../src/operations/backup/retention.ts'
import type { LogSegment } from '../../src/operations/backup/stored-log.ts'
import { nextSegment, segmentAt, startOf } from '../../src/operations/backup/wal-segment.ts'

const MIB_16 = 16 * 1024 * 1024

describe('what --to names', () => {
  test.each<[string, RestoreTarget]>([
    ['latest', { kind: 'latest' }],
    ['immediate', { kind: 'immediate' }],
    ['0/1a2B3C4D', { kind: 'lsn', lsn: '0/1A2B3C4D' }],
    ['before-upgrade', { kind: 'name', name: 'before-upgrade' }],
    ['2026-11-20 14:03', { kind: 'time', ms: Date.UTC(2026, 10, 20, 14, 3) }],
    ['2026-11-20', { kind: 'time', ms: Date.UTC(2026, 10, 20) }],
    ['2026-11-20T14:03:05.250Z', { kind: 'time', ms: Date.UTC(2026, 10, 20, 14, 3, 5, 250) }],
    ['2026-11-20 14:03+01:00', { kind: 'time', ms: Date.UTC(2026, 10, 20, 13, 3) }],
    ['2026-11-20 14:03 -0330', { kind: 'time', ms: Date.UTC(2026, 10, 20, 17, 33) }],
    ['2026-11-20 14:03:00 UTC', { kind: 'time', ms: Date.UTC(2026, 10, 20, 14, 3) }],
  ])('%s', (text, target) => expect(parseRestoreTarget(text)).toEqual(target))

  test.each(['2026-02-31', '2026-13-01', '2026-11-20 25:00', 'two words', "it's", '', '-x'])(
    '%s is refused',
    (text) => expect(() => parseRestoreTarget(text)).toThrow(),
  )
})

test('segments follow each other across the border of four gigabytes', () => {
  expect(segmentAt(3, parseLsn('0/FF000000'), MIB_16)).toBe('0000000300000000000000FF')
  expect(nextSegment('0000000300000000000000FF', MIB_16)).toBe('000000030000000100000000')
  expect(startOf('000000030000000100000000', MIB_16)).toBe(0x1_0000_0000n)
  expect(nextSegment('000000010000000000000003', 1_073_741_824)).toBe('000000010000000100000000')
})

const record = (changes: Partial<BackupRecord> = {}): BackupRecord => ({
  format: 1,
  id: 'a',
  kind: 'full',
  baseId: undefined,
  timeline: 1,
  systemId: '7',
  postgresMajor: 18,
  startedAt: at(0),
  endedAt: at(1),
  startLsn: '0/3000028',
  endLsn: '0/3000100',
  segmentBytes: MIB_16,
  startSegment: seg(3),
  endSegment: seg(3),
  lineage: 'run',
  keyId: 'k',
  restorePoint: undefined,
  packs: [],
  databaseBytes: 1,
  storedBytes: 1,
  manifest: { name: 'm', bytes: 1, sha256: '' },
  ...changes,
})
const at = (minute: number): string => new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString()
const ms = (minute: number): number => Date.parse(at(minute))
const seg = (number: number): string =>
  `0000000100000000${number.toString(16).padStart(8, '0').toUpperCase()}`
const log = (...numbers: number[]): LogSegment[] =>
  numbers.map((number) => ({
    segment: seg(number),
    finishedMs: ms(number),
    stored: seg(number),
    read: () => Promise.reject(new Error('not read here')),
  }))
const names = (segments: readonly LogSegment[]): string[] => segments.map(({ segment }) => segment)

describe('the log that a restore takes', () => {
  const all = log(2, 3, 4, 5, 6, 7)

  test('begins with the backup and goes as far as the target needs', () => {
    expect(names(planLog(record(), { kind: 'latest' }, all).segments)).toEqual([3, 4, 5, 6, 7].map(seg))
    expect(names(planLog(record(), { kind: 'immediate' }, all).segments)).toEqual([seg(3)])
    expect(names(planLog(record(), { kind: 'lsn', lsn: '0/5000000' }, all).segments)).toEqual([3, 4].map(seg))
    expect(names(planLog(record(), { kind: 'lsn', lsn: '0/5000001' }, all).segments)).toEqual(
      [3, 4, 5].map(seg),
    )
    const timed = planLog(record(), { kind: 'time', ms: ms(5) }, all)
    expect(names(timed.segments)).toEqual([3, 4, 5, 6].map(seg))
    expect(names(timed.rest)).toEqual([seg(7)])
    expect(names(planLog(record(), { kind: 'name', name: 'x' }, all, '0/4000010').segments)).toEqual(
      [3, 4].map(seg),
    )
  })

  test('a segment that is missing is named, unless it is not needed', () => {
    const gap = log(3, 4, 6, 7)
    expect(() => planLog(record(), { kind: 'latest' }, gap)).toThrow(`The segment ${seg(5)}`)
    expect(() => planLog(record(), { kind: 'lsn', lsn: '0/6000010' }, gap)).toThrow(`The segment ${seg(5)}`)
    expect(() => planLog(record(), { kind: 'time', ms: ms(6) }, gap)).toThrow(`The segment ${seg(5)}`)
    expect(names(planLog(record(), { kind: 'time', ms: ms(3.5) }, gap).segments)).toEqual([3, 4].map(seg))
    expect(() => planLog(record({ endSegment: seg(5) }), { kind: 'immediate' }, gap)).toThrow(seg(5))
    expect(() => planLog(record(), { kind: 'latest' }, [])).toThrow(seg(3))
  })

  test('what is beyond its end is refused, and where it ends is said', () => {
    expect(() => planLog(record(), { kind: 'time', ms: ms(8) }, all)).toThrow(`It ends at ${at(7)}`)
    expect(() => planLog(record(), { kind: 'lsn', lsn: '0/9000000' }, all)).toThrow(/does not reach that far/)
  })
})

describe('the backup that a restore begins with', () => {
  const records = [
    record({ id: 'old', endedAt: at(1), lineage: 'first' }),
    record({ id: 'mid', endedAt: at(10), lineage: 'first' }),
    record({ id: 'new', endedAt: at(30), lineage: 'second' }),
  ]
  const ends: Record<string, number> = { first: ms(20), second: ms(40) }
  const choose = async (target: RestoreTarget, currentLineage?: string, backupId?: string) =>
    (
      await chooseBackup({
        records,
        target,
        point: undefined,
        backupId,
        currentLineage,
        logEndsMs: (lineage) => Promise.resolve(ends[lineage]!),
      })
    ).id

  test('is the newest that is old enough, of the run of log that reaches the target', async () => {
    expect(await choose({ kind: 'latest' })).toBe('new')
    expect(await choose({ kind: 'latest' }, 'first')).toBe('mid')
    expect(await choose({ kind: 'time', ms: ms(5) })).toBe('old')
    expect(await choose({ kind: 'time', ms: ms(15) }, 'second')).toBe('mid')
    expect(await choose({ kind: 'time', ms: ms(35) })).toBe('new')
    expect(await choose({ kind: 'latest' }, undefined, 'old')).toBe('old')
  })

  test('one that cannot be had is refused', async () => {
    await expect(choose({ kind: 'time', ms: ms(0) })).rejects.toMatchObject({
      code: 'not_found',
      hint: expect.stringContaining(at(1)),
    })
    await expect(choose({ kind: 'time', ms: ms(5) }, undefined, 'new')).rejects.toThrow(
      /after what is asked for/,
    )
    await expect(choose({ kind: 'latest' }, undefined, 'none')).rejects.toThrow(/no backup "none"/)
  })
})

describe('what is kept', () => {
  const day = (number: number): string => new Date(Date.UTC(2026, 0, number)).toISOString()
  const full = (number: number, lineage = 'run'): BackupRecord =>
    record({ id: `full-${number}`, endedAt: day(number), lineage })
  const diff = (number: number, base: number): BackupRecord =>
    record({ id: `diff-${number}`, kind: 'differential', baseId: `full-${base}`, endedAt: day(number) })
  const gone = (records: BackupRecord[], fulls: number, days: number, today: number): string[] =>
    expired(records, { fulls, days }, Date.parse(day(today))).map(({ id }) => id)

  test('the newest full ones, and what a moment of the last days is restored from', () => {
    const records = [full(1), diff(2, 1), full(8), diff(9, 8), diff(10, 8), full(15), diff(16, 15)]
    expect(gone(records, 1, 3, 17)).toEqual(['full-1', 'diff-2', 'diff-9'])
    expect(gone(records, 2, 3, 17)).toEqual(['full-1', 'diff-2'])
    expect(gone(records, 1, 30, 17)).toEqual([])
    expect(gone([full(1)], 1, 1, 300)).toEqual([])
  })

  test('no differential one outlives its full one', () => {
    const records = [full(1), diff(2, 1), diff(20, 1), full(30)]
    expect(gone(records, 1, 5, 31)).toEqual(['diff-2'])
  })
})
