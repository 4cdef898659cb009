import type { Position } from '../position.ts'

/** Bytes of a page of the write-ahead log, and of the header of a page and of a segment (`XLOG_BLCKSZ`, xlog_internal.h). */
const PAGE_BYTES = 8_192n
const PAGE_HEADERS: readonly bigint[] = [24n, 40n]

/** A log sequence number as one integer. */
export function parseLsn(text: string): bigint {
  const [high = '', low = ''] = text.split('/')
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)
}

/**
 * How far a standby must have replayed to have everything before a position of the primary. That one is where the next record will begin: at the
 * start of a page behind its header, where a standby that has replayed everything never gets until there is another record.
 */
export function replayedBy(lsn: bigint): bigint {
  const offset = lsn % PAGE_BYTES
  return PAGE_HEADERS.includes(offset) ? lsn - offset : lsn
}

/** A point in the history of one server and timeline; with others it cannot be compared. */
export interface WalPoint {
  readonly systemId: string
  readonly timeline: number
  readonly lsn: bigint
}

/** What a standby must have replayed, to have all that is before a position. */
export function toWalPoint({ systemId, timeline, lsn }: Position): WalPoint {
  return { systemId, timeline, lsn: replayedBy(parseLsn(lsn)) }
}

export function isSameHistory(
  a: Pick<WalPoint, 'systemId' | 'timeline'>,
  b: Pick<WalPoint, 'systemId' | 'timeline'>,
): boolean {
  return a.systemId === b.systemId && a.timeline === b.timeline
}

/** The later of two points, of which the second may be missing; `undefined` where they are not of one history. */
export function latestPoint(a: WalPoint | undefined, b: WalPoint | undefined): WalPoint | undefined {
  if (a === undefined || b === undefined) return a
  if (!isSameHistory(a, b)) return undefined
  return a.lsn >= b.lsn ? a : b
}
