import { invalidField } from '../../errors.ts'

const PATTERN =
  /^(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)?\s*(Z|[+-]\d{2}(?::?\d{2})?)?$/
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const MAX_CACHED = 200_000

/** Reads times that say no zone as those of one zone. */
export class LocalTime {
  /** Its name, such as `UTC` or `Europe/Berlin`. */
  readonly zone: string
  readonly #format: Intl.DateTimeFormat | undefined
  /** Offset from UTC in milliseconds, by quarter of an hour. */
  readonly #offsets = new Map<number, number>()
  #date = ''
  #midnightMs = Number.NaN

  /** @throws NomalyError `invalid_input` for a zone that nobody knows. */
  constructor(zone: string) {
    this.zone = zone
    try {
      const fields = { year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric' } as const
      this.#format =
        zone === 'UTC'
          ? undefined
          : new Intl.DateTimeFormat('en-US', {
              ...fields,
              timeZone: zone,
              hourCycle: 'h23',
              minute: 'numeric',
              second: 'numeric',
              era: 'short',
            })
    } catch {
      throw invalidField(
        '--zone',
        `"${zone}" is no time zone`,
        'Use a name such as Europe/Berlin, or an offset such as +02:00.',
      )
    }
  }

  /**
   * Epoch milliseconds with microseconds as the fraction, NaN for what is no time. A local time that there is twice is the earlier one, and one
   * that the clocks leap over is taken with the offset from before.
   */
  parse(text: string): number {
    // The form that SQLAlchemy writes, read by position: there are millions of them.
    if (text.length === 26 && text.charCodeAt(10) === 32 && text.charCodeAt(19) === 46) {
      const date = text.slice(0, 10)
      if (date !== this.#date) {
        this.#midnightMs = midnight(date)
        this.#date = date
      }
      const [hour, minute, second] = [two(text, 11), two(text, 14), two(text, 17)]
      const micros = two(text, 20) * 10_000 + two(text, 22) * 100 + two(text, 24)
      if (hour < 24 && minute < 60 && second < 60 && text.charCodeAt(13) === 58 && text.charCodeAt(16) === 58)
        return (
          this.#toUtc(this.#midnightMs + hour * HOUR_MS + minute * 60_000 + second * 1000) + micros / 1000
        )
    }
    const match = PATTERN.exec(text)
    if (match === null) return Number.NaN
    const [hour, minute, second] = [Number(match[4] ?? 0), Number(match[5] ?? 0), Number(match[6] ?? 0)]
    if (hour > 23 || minute > 59 || second > 59) return Number.NaN
    const wholeMs = midnight(text.slice(0, 10)) + hour * HOUR_MS + minute * 60_000 + second * 1000
    const fractionMs = Number((match[7] ?? '').slice(0, 6).padEnd(6, '0')) / 1000
    if (match[8] === undefined) return this.#toUtc(wholeMs) + fractionMs
    return wholeMs - offsetMs(match[8]) + fractionMs
  }

  #toUtc(localMs: number): number {
    if (this.#format === undefined || Number.isNaN(localMs)) return localMs
    const before = this.#offsetAt(localMs - DAY_MS)
    const after = this.#offsetAt(localMs + DAY_MS)
    if (before === after) return localMs - before
    const fitting = [before, after]
      .map((offset) => [localMs - offset, offset] as const)
      .filter(([utcMs, offset]) => this.#offsetAt(utcMs) === offset)
      .map(([utcMs]) => utcMs)
    return fitting.length === 0 ? localMs - before : Math.min(...fitting)
  }

  #offsetAt(utcMs: number): number {
    const quarter = Math.floor(utcMs / (HOUR_MS / 4))
    const known = this.#offsets.get(quarter)
    if (known !== undefined) return known
    const at = quarter * (HOUR_MS / 4)
    const fields = Object.fromEntries(this.#format!.formatToParts(at).map(({ type, value }) => [type, value]))
    const local = Date.UTC(
      fields['era'] === 'BC' ? 1 - Number(fields['year']) : Number(fields['year']),
      Number(fields['month']) - 1,
      Number(fields['day']),
      Number(fields['hour']),
      Number(fields['minute']),
      Number(fields['second']),
    )
    if (this.#offsets.size > MAX_CACHED) this.#offsets.clear()
    this.#offsets.set(quarter, local - at)
    return local - at
  }
}

/** An instant as PostgreSQL takes it and as a target is read back: UTC, to the microsecond. */
export function instantText(ms: number): string {
  const wholeMs = Math.floor(ms)
  const micros = Math.round((ms - wholeMs) * 1000)
  const iso = new Date(micros === 1000 ? wholeMs + 1 : wholeMs).toISOString()
  return `${iso.slice(0, 10)} ${iso.slice(11, 23)}${String(micros % 1000).padStart(3, '0')}+00`
}

function midnight(date: string): number {
  const [year, month, day] = [Number(date.slice(0, 4)), Number(date.slice(5, 7)), Number(date.slice(8, 10))]
  if (!(year >= 1 && month >= 1 && month <= 12 && day >= 1)) return Number.NaN
  const at = new Date(0)
  at.setUTCFullYear(year, month - 1, day)
  return at.getUTCMonth() === month - 1 ? at.getTime() : Number.NaN
}

function two(text: string, at: number): number {
  const tens = text.charCodeAt(at) - 48
  const ones = text.charCodeAt(at + 1) - 48
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : Number.NaN
}

function offsetMs(zone: string): number {
  if (zone === 'Z') return 0
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(3).replace(':', '') || 0)
  return (zone.startsWith('-') ? -minutes : minutes) * 60_000
}
