import { formatPosition, parsePosition, type Freshness, type Position } from '../database/position.ts'

/** The newest commit that is known to have touched a tag, and a nonce of its own for each time that was said. */
export interface Floor {
  readonly position: Position
  readonly nonce: string
}

/** The log sequence number as 16 hexadecimal digits, which sort as it does. */
function sortable(lsn: string): string {
  const [high = '', low = ''] = lsn.split('/')
  return high.padStart(8, '0') + low.padStart(8, '0')
}

/** Whether two positions can be compared at all. */
function isComparable(a: Position, b: Position): boolean {
  return a.systemId === b.systemId && a.timeline === b.timeline
}

/** The later of two positions; where they cannot be compared, the one that was said last. */
export function laterPosition(before: Position, said: Position): Position {
  return isComparable(before, said) && sortable(before.lsn) > sortable(said.lsn) ? before : said
}

/** The form of a position in floors: as in {@link formatPosition}, with a log sequence number that sorts as text. */
export function floorPosition(position: Position): string {
  return `${position.systemId}.${position.timeline}.${sortable(position.lsn)}`
}

/** Whether a text is a {@link floorPosition}. */
export function isFloorPosition(text: string): boolean {
  return /^\d{1,20}\.\d{1,10}\.[0-9A-F]{16}$/.test(text)
}

/** Reads {@link floorPosition} back. */
export function parseFloorPosition(text: string): Position {
  const [systemId = '', timeline = '', lsn = ''] = text.split('.')
  return {
    systemId,
    timeline: Number(timeline),
    lsn: `${unpadded(lsn.slice(0, 8))}/${unpadded(lsn.slice(8))}`,
  }
}

/** Whether what was read no older than these positions is no older than `after`. */
export function covers(positions: readonly Position[], after: Position): boolean {
  return positions.some((one) => isComparable(one, after) && sortable(one.lsn) >= sortable(after.lsn))
}

/** The latest of positions, one for each server and timeline. */
export function latestPositions(positions: Iterable<Position>): Position[] {
  const latest = new Map<string, Position>()
  for (const position of positions) {
    const key = `${position.systemId}.${position.timeline}`
    const before = latest.get(key)
    latest.set(key, before === undefined ? position : laterPosition(before, position))
  }
  return [...latest.values()]
}

/** What to ask a database for so that nothing at these positions is missed: of several servers, the primary. */
export function freshnessAfter(positions: readonly Position[]): Freshness {
  const [only, ...others] = positions
  return only === undefined || others.length > 0 ? 'latest' : { after: only }
}

/** Positions as text and back, for what is kept. */
export const positionsText = {
  write: (positions: readonly Position[]): string[] => positions.map(formatPosition),
  read: (texts: readonly string[]): Position[] => texts.flatMap((text) => parsePosition(text) ?? []),
}

function unpadded(digits: string): string {
  return digits.replace(/^0+(?=.)/, '')
}
