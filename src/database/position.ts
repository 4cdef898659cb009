/**
 * Where a commit stands in a server's write-ahead log. Positions of different timelines are never compared:
 * one from another timeline means "read the primary".
 */
export interface Position {
  /** `system_identifier` of the cluster, as decimal text (it exceeds 2^53). */
  readonly systemId: string
  readonly timeline: number
  /** Log sequence number in PostgreSQL's text form, such as `0/16B3748`. */
  readonly lsn: string
}

/** The value of a finished transaction, and where its commit stands: pass it to a later read. */
export interface Committed<T> {
  readonly value: T
  readonly position: Position
}

/** How old a read may be: the primary, no older than a position, a bounded lag in milliseconds, or neither older than one nor the other. */
export type Freshness =
  | 'latest'
  | { readonly after: Position; readonly maxLagMs?: number }
  | { readonly maxLagMs: number }

/** A position as text: `systemId.timeline.lsn`. */
export function formatPosition(position: Position): string {
  return `${position.systemId}.${position.timeline}.${position.lsn}`
}

/** Reads the form back; `undefined` when the text is not a position. */
export function parsePosition(text: string): Position | undefined {
  const match = /^(\d{1,20})\.(\d{1,10})\.([0-9A-F]{1,8}\/[0-9A-F]{1,8})$/.exec(text)
  if (match === null) return undefined
  return { systemId: match[1]!, timeline: Number(match[2]), lsn: match[3]! }
}

const POSITIONS_VERSION = '1:'
/** More than an installation ever has databases. */
const MAX_POSITIONS = 8

/** Positions of several databases as one text, which nobody else need understand. */
export function formatPositions(positions: readonly Position[]): string {
  return POSITIONS_VERSION + positions.map(formatPosition).join(',')
}

/** Reads {@link formatPositions} back, and a single position as it was written before; `undefined` when the text is neither. */
export function parsePositions(text: string): Position[] | undefined {
  const parts = text.startsWith(POSITIONS_VERSION)
    ? text.slice(POSITIONS_VERSION.length).split(',', MAX_POSITIONS + 1)
    : [text]
  const positions = parts.flatMap((part) => parsePosition(part) ?? [])
  return positions.length === parts.length && parts.length <= MAX_POSITIONS ? positions : undefined
}
