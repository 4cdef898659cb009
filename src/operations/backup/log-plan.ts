import { parseLsn } from '../../database/replicas/lsn.ts'
import { NomalyError } from '../../errors.ts'
import type { RestoreTarget } from './backup-engine.ts'
import type { BackupRecord } from './backup-record.ts'
import type { LogSegment } from './stored-log.ts'
import { nextSegment, segmentAt } from './wal-segment.ts'

/** Which log a restore takes. */
export interface LogPlan {
  readonly segments: readonly LogSegment[]
  /** What follows, for where that turns out not to reach the target. */
  readonly rest: readonly LogSegment[]
}

/**
 * Chooses the log from a backup up to a target.
 * @param all what there is of the run of log, in order.
 * @param pointLsn where a named restore point stands, if that is known.
 * @throws NomalyError `unavailable` that names the segment which is missing.
 */
export function planLog(
  record: BackupRecord,
  target: RestoreTarget,
  all: readonly LogSegment[],
  pointLsn?: string,
): LogPlan {
  const byName = new Map(all.map((one) => [one.segment, one]))
  const run: LogSegment[] = []
  let name = record.startSegment
  for (let found = byName.get(name); found !== undefined; found = byName.get(name)) {
    run.push(found)
    name = nextSegment(name, record.segmentBytes)
  }
  /** `undefined` where the log just ends there. */
  const gap = all.some(({ segment }) => segment > name) ? name : undefined
  const until = (segment: string): LogPlan => {
    if (segment >= name) throw gap === undefined ? tooLate(run) : missing(gap, run)
    const at = run.findIndex((one) => one.segment === segment)
    return { segments: run.slice(0, at + 1), rest: run.slice(at + 1) }
  }
  if (name <= record.endSegment) throw missing(name, [])
  const lsn = target.kind === 'lsn' ? target.lsn : target.kind === 'name' ? pointLsn : undefined
  if (lsn !== undefined) {
    // The byte before: what ends at the border of a segment is in the one before it.
    const last = segmentAt(record.timeline, parseLsn(lsn) - 1n, record.segmentBytes)
    return until(last < record.endSegment ? record.endSegment : last)
  }
  if (target.kind === 'immediate') return until(record.endSegment)
  if (target.kind === 'time') {
    const after = run.findIndex(
      ({ segment, finishedMs }) => segment >= record.endSegment && finishedMs > target.ms,
    )
    if (after !== -1) return { segments: run.slice(0, after + 1), rest: run.slice(after + 1) }
  }
  if (gap !== undefined) throw missing(gap, run)
  // What was committed in between may have been lost with the machine.
  if (target.kind === 'time') throw tooLate(run)
  return { segments: run, rest: [] }
}

function missing(segment: string, run: readonly LogSegment[]): NomalyError {
  const last = run.at(-1)
  const until =
    last === undefined || !Number.isFinite(last.finishedMs)
      ? 'Take an earlier backup with --backup.'
      : `What was committed until ${new Date(last.finishedMs).toISOString()} can be had: restore to that with --to. For later, take a later backup.`
  return new NomalyError('unavailable', `The segment ${segment} of the write-ahead log is missing.`, {
    hint: until,
  })
}

function tooLate(run: readonly LogSegment[]): NomalyError {
  const last = run.at(-1)
  const until = last === undefined ? '' : ` It ends at ${new Date(last.finishedMs).toISOString()}.`
  return new NomalyError('not_found', `The log that is stored does not reach that far.${until}`, {
    hint: 'Restore to `latest`, or look at `nomaly backup list`.',
  })
}
