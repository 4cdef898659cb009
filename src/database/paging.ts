import { invalidField } from '../errors.ts'

/** Which part of a list is asked for: at most `limit` items after the place that the cursor of the previous page names. */
export interface PageRequest {
  readonly limit: number
  readonly cursor?: string | undefined
}

export interface Page<T> {
  readonly items: readonly T[]
  /** `null` on the last page. */
  readonly nextCursor: string | null
}

/** The keys of the last item of a page, as opaque text. */
export function encodeCursor(keys: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(keys)).toString('base64url')
}

/**
 * The keys back from the text, each checked by its own parser.
 * @throws NomalyError `invalid_input` for text that no page has given out.
 */
export function decodeCursor<const P extends readonly ((value: unknown) => unknown)[]>(
  cursor: string,
  parsers: P,
): { [K in keyof P]: Exclude<ReturnType<P[K]>, undefined> } {
  try {
    const keys: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    if (Array.isArray(keys) && keys.length === parsers.length) {
      const values = parsers.map((parse, index) => parse(keys[index]))
      if (values.every((value) => value !== undefined)) return values as never
    }
  } catch {
    // Refused below.
  }
  throw invalidField(
    'cursor',
    'is not one that a previous page has given out',
    'Start again without a cursor.',
  )
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Whether PostgreSQL would read it: in its own form, of a day that exists. */
function isTime(text: string): boolean {
  const match = /^((?!0000)\d{4}-\d\d-\d\d) (([01]\d|2[0-3])(:[0-5]\d){2}(\.\d{1,6})?)\+00$/.exec(text)
  if (match === null) return false
  const ms = Date.parse(`${match[1]}T00:00:00Z`)
  // JavaScript takes the 30th of February for the 2nd of March.
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(match[1]!)
}

/** Parsers of the kinds of keys that lists are ordered by. */
export const cursorKey = {
  uuid: (value: unknown): string | undefined =>
    typeof value === 'string' && UUID.test(value) ? value : undefined,
  // Microseconds matter: a time cut to milliseconds would repeat or skip rows.
  time: (value: unknown): string | undefined =>
    typeof value === 'string' && isTime(value) ? value : undefined,
  integer: (value: unknown): number | undefined =>
    Number.isSafeInteger(value) ? (value as number) : undefined,
  name: (value: unknown): string | undefined =>
    typeof value === 'string' && value.length <= 200 && !value.includes('\0') ? value : undefined,
}

/** Cuts one row more than the page holds, which tells whether there is a next one. */
export function toPage<Row, T>(
  rows: readonly Row[],
  limit: number,
  toItem: (row: Row) => T,
  toKeys: (row: Row) => (string | number)[],
): Page<T> {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  return {
    items: shown.map(toItem),
    nextCursor: rows.length > limit && last !== undefined ? encodeCursor(toKeys(last)) : null,
  }
}
