import type { FoundLanes } from './found-writes.ts'
import type { Write } from './write-ledger.ts'

/** What was written of one kind, against what is there. */
export interface WriteAccount {
  readonly acknowledged: number
  /** Acknowledged, and not there. */
  readonly missing: number
  /** Names of some of those. */
  readonly missingExamples: readonly string[]
  /** Of the missing: the last one's place in the write-ahead log, for what was lost in bytes. */
  readonly lastMissing: Write | undefined
  /** Stored by an attempt that was not acknowledged: repeating it did no harm. */
  readonly storedUnacknowledged: number
  /** Those of them of which it was said that nothing was stored. */
  readonly storedThoughRefused: number
  /** By how much counters are further than their marks: something was done twice. */
  readonly doubled: number
  /** By how much counters are behind their marks, and writes of which only a part is there. */
  readonly torn: number
}

const LISTED = 5

/** Compares what a kind of writes was told with what was found in the end. */
export function accountFor(writes: readonly Write[], found: FoundLanes): WriteAccount {
  const acknowledged = writes.filter(({ acknowledgedAtMs }) => acknowledgedAtMs !== undefined)
  const isThere = ({ lane, n }: Write): boolean => found.get(String(lane))?.whole.has(n) === true
  const missing = acknowledged.filter((write) => !isThere(write))
  const unacknowledged = writes.filter((write) => write.acknowledgedAtMs === undefined && isThere(write))
  const foundStored = acknowledged.filter((write) => write.foundStored !== undefined)
  const lanes = [...found.values()]
  const excess = lanes.map(({ counter, whole }) => (counter === undefined ? 0 : counter - whole.size))
  return {
    acknowledged: acknowledged.length,
    missing: missing.length,
    missingExamples: missing.slice(0, LISTED).map(({ kind, lane, n }) => `${kind} ${lane}/${n}`),
    lastMissing: missing.reduce<Write | undefined>(
      (last, write) =>
        last === undefined || write.acknowledgedAtMs! > last.acknowledgedAtMs! ? write : last,
      undefined,
    ),
    storedUnacknowledged: foundStored.length + unacknowledged.length,
    storedThoughRefused:
      foundStored.filter((write) => write.foundStored === 'refused').length +
      unacknowledged.filter(({ failed }) => failed.length > 0 && failed.every((told) => told === 'refused'))
        .length,
    doubled: excess.reduce((sum, more) => sum + Math.max(0, more), 0),
    torn:
      excess.reduce((sum, more) => sum + Math.max(0, -more), 0) +
      lanes.reduce((sum, { torn }) => sum + torn.length, 0),
  }
}

/** A place in the write-ahead log in bytes (`0/16B3748` in PostgreSQL's text form). */
export function lsnBytes(lsn: string): bigint {
  const [high, low] = lsn.split('/')
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`)
}

/**
 * How much of the write-ahead log was lost that had been acknowledged, in bytes: from where the new timeline begins to the last commit that is
 * missing. 0 where nothing is missing; `undefined` where the timeline's end is not known.
 */
export function lostBytes(
  lastMissing: Write | undefined,
  timelineEnds: ReadonlyMap<number, bigint>,
): number | undefined {
  const position = lastMissing?.position
  if (position === undefined) return lastMissing === undefined ? 0 : undefined
  const end = timelineEnds.get(position.timeline)
  return end === undefined ? undefined : Number(lsnBytes(position.lsn) - end)
}
