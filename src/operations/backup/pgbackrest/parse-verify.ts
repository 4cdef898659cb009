import type { BackupFault, VerifyReport } from '../backup-engine.ts'

const FAULT = /^.* P\d+ +(?:INFO|DETAIL|WARN|ERROR): (file missing|invalid [a-z ]+|invalid) '(.+)'$/
const RANGE = /wal start: ([0-9A-F]{24}), wal stop: ([0-9A-F]{24})/
const ARCHIVE = /^ +archiveId: (\S+), total WAL checked: (\d+), total valid WAL: (\d+)/
const BACKUP = /^ +backup: (\S+), status: ([^,]+), total files checked: (\d+), total valid files: (\d+)/
const SEGMENTS_PER_FILE = 0x1_0000_0000

/**
 * Reads what `pgbackrest verify --output=text --verbose --log-level-console=detail` has printed. Its exit code is 0 whatever it finds, and what
 * it calls the status is "ok" where pieces of the log are missing: both are not trusted.
 * @param segmentBytes of one segment of the log.
 */
export function parseVerify(text: string, segmentBytes: number): VerifyReport {
  const faults: BackupFault[] = []
  const ranges: [start: string, stop: string][] = []
  let [backups, files, logSegments, badFiles, badSegments] = [0, 0, 0, 0, 0]
  const isBad: BackupFault[] = []
  for (const line of text.split('\n')) {
    const [, problem, file] = FAULT.exec(line) ?? []
    if (problem !== undefined && file !== undefined) {
      const [backupId] = /^\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?(?=\/)/.exec(file) ?? []
      faults.push({ file, backupId, reason: sayProblem(problem) })
    }
    const [, start, stop] = RANGE.exec(line) ?? []
    if (start !== undefined && stop !== undefined) ranges.push([start, stop])
    // The log repeats the summary, indented further and with a time before its first line; the text itself stands at the end.
    const [, archiveId, checked, valid] = ARCHIVE.exec(line) ?? []
    if (archiveId !== undefined && line.startsWith('  archiveId')) {
      logSegments += Number(checked)
      badSegments += Number(checked) - Number(valid)
    }
    const [, backupId, status, of, good] = BACKUP.exec(line) ?? []
    if (backupId !== undefined && line.startsWith('  backup')) {
      backups += 1
      files += Number(of)
      badFiles += Number(of) - Number(good)
      if (status !== 'valid' && Number(of) === Number(good))
        isBad.push({ file: backupId, backupId, reason: `is ${status}` })
    }
  }
  const named = faults.length
  if (badFiles + badSegments > 0 && named === 0)
    faults.push({
      file: 'repository',
      backupId: undefined,
      reason: `has ${badFiles + badSegments} files that are not as they were written`,
    })
  return {
    backups,
    files,
    // It does not say how many.
    bytes: 0,
    logSegments,
    faults: [...faults, ...isBad, ...gapsIn(ranges, segmentBytes)],
  }
}

function sayProblem(problem: string): string {
  if (problem === 'file missing') return 'is missing'
  if (problem === 'invalid checksum') return 'is not as it was written: its checksum is another one'
  if (problem === 'invalid size') return 'is not as it was written: its size is another one'
  return `is not right (${problem})`
}

/** Segments that are missing between others of the same timeline. */
function gapsIn(ranges: readonly (readonly [string, string])[], segmentBytes: number): BackupFault[] {
  const faults: BackupFault[] = []
  const sorted = ranges.toSorted(([a], [b]) => (a < b ? -1 : 1))
  for (const [at, [start]] of sorted.entries()) {
    const before = sorted[at - 1]
    if (before === undefined || before[1].slice(0, 8) !== start.slice(0, 8)) continue
    const missing = numberOf(start, segmentBytes) - numberOf(before[1], segmentBytes) - 1
    if (missing > 0)
      faults.push({
        file: nameAfter(before[1], segmentBytes),
        backupId: undefined,
        reason:
          missing === 1 ? 'is missing from the log' : `and ${missing - 1} after it are missing from the log`,
      })
  }
  return faults
}

function numberOf(segment: string, segmentBytes: number): number {
  const perLog = SEGMENTS_PER_FILE / segmentBytes
  return Number.parseInt(segment.slice(8, 16), 16) * perLog + Number.parseInt(segment.slice(16), 16)
}

function nameAfter(segment: string, segmentBytes: number): string {
  const perLog = SEGMENTS_PER_FILE / segmentBytes
  const next = numberOf(segment, segmentBytes) + 1
  const hexadecimal = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0')
  return segment.slice(0, 8) + hexadecimal(Math.floor(next / perLog)) + hexadecimal(next % perLog)
}
