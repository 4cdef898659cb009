import type { TimeFormat } from './column-plan.ts'

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const LONGEST = 64

const MONTH_NAME = '(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\\.?'
const YEAR_FIRST = /^(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?!\d)/
const COMPACT = /^(\d{4})(\d{2})(\d{2})(?:T?(\d{2})(\d{2})(\d{2})?(?!\d)|(?!\d))/
const YEAR_AND_MONTH = /^(\d{4})[-/](\d{1,2})$/
const YEAR_LAST = /^(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})(?!\d)/
const DAY_NAMED = new RegExp(
  `^(?:[a-z]{3,9},?\\s+)?(\\d{1,2})(?:st|nd|rd|th)?[-/ ]\\s*${MONTH_NAME}[-/, ]\\s*(\\d{4}|\\d{2})(?!\\d)`,
  'i',
)
const NAMED_DAY = new RegExp(
  `^(?:[a-z]{3,9},?\\s+)?${MONTH_NAME}[- ]\\s*(\\d{1,2})(?:st|nd|rd|th)?,?[- ]\\s*(\\d{4})(?!\\d)`,
  'i',
)
const CTIME = new RegExp(
  `^[a-z]{3}\\s+${MONTH_NAME}\\s+(\\d{1,2})\\s+(\\d{1,2}:\\d{2}:\\d{2})\\s+(\\d{4})$`,
  'i',
)
const CLOCK =
  /^[T,:]?\s*(\d{1,2})(?::(\d{2})(?::(\d{2})(?:[.,](\d{1,12}))?)?)?\s*([ap]\.?m\.?)?\s*(z|utc|gmt|[+-]\d{2}(?::?\d{2})?)?$/i
const PLAIN_NUMBER = /^\d+(?:\.\d+)?$/

function two(text: string, at: number): number {
  const tens = text.charCodeAt(at) - 48
  const ones = text.charCodeAt(at + 1) - 48
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : Number.NaN
}

function midnight(year: number, month: number, day: number): number {
  if (!(year >= 1000 && month >= 1 && month <= 12 && day >= 1 && day <= 31)) return Number.NaN
  if (day > 28 && day > new Date(Date.UTC(year, month, 0)).getUTCDate()) return Number.NaN
  return Date.UTC(year, month - 1, day)
}

let lastDate = ''
let lastMidnight = Number.NaN

/** The strict and common form, read by position: `YYYY-MM-DDTHH:MM:SS[.f…][Z]`; NaN for everything else. */
function parseFixedIso(text: string): number {
  const length = text.length
  if (length < 19 || length > 30 || text.charCodeAt(13) !== 58 || text.charCodeAt(16) !== 58)
    return Number.NaN
  const separator = text.charCodeAt(10)
  if (separator !== 84 && separator !== 32) return Number.NaN
  const date = text.slice(0, 10)
  if (date !== lastDate) {
    if (text.charCodeAt(4) !== 45 || text.charCodeAt(7) !== 45) return Number.NaN
    const ms = midnight(two(text, 0) * 100 + two(text, 2), two(text, 5), two(text, 8))
    if (Number.isNaN(ms)) return Number.NaN
    lastDate = date
    lastMidnight = ms
  }
  const hour = two(text, 11)
  const minute = two(text, 14)
  const second = two(text, 17)
  if (!(hour < 24 && minute < 60 && second <= 60)) return Number.NaN
  const whole = lastMidnight + hour * 3_600_000 + minute * 60_000 + second * 1000
  if (length === 19) return whole
  let at = 19
  let micros = 0
  if (text.charCodeAt(at) === 46) {
    at += 1
    const start = at
    for (let weight = 100_000; at < length; at += 1, weight = Math.floor(weight / 10)) {
      const digit = text.charCodeAt(at) - 48
      if (digit < 0 || digit > 9) break
      micros += digit * weight
    }
    if (at === start) return Number.NaN
  }
  if (at < length && !(at === length - 1 && text.charCodeAt(at) === 90)) return Number.NaN
  return whole + micros / 1000
}

function clockMs(text: string): number {
  const match = CLOCK.exec(text)
  if (match === null) return Number.NaN
  let hour = Number(match[1])
  const minute = Number(match[2] ?? 0)
  const second = Number(match[3] ?? 0)
  const half = match[5]?.toLowerCase()
  if (half === undefined) {
    // A bare hour with nothing behind it is not a time of day.
    if (match[2] === undefined && !/^T/i.test(text)) return Number.NaN
    if (hour > 24 || (hour === 24 && minute + second > 0)) return Number.NaN
  } else {
    if (hour < 1 || hour > 12) return Number.NaN
    hour = (hour % 12) + (half.startsWith('p') ? 12 : 0)
  }
  if (minute > 59 || second > 60) return Number.NaN
  const micros = match[4] === undefined ? 0 : Number(match[4].slice(0, 6).padEnd(6, '0'))
  return hour * 3_600_000 + minute * 60_000 + second * 1000 + micros / 1000 - zoneMs(match[6])
}

function zoneMs(zone: string | undefined): number {
  if (zone === undefined || /^[a-z]/i.test(zone)) return 0
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(3).replace(':', '') || 0)
  return (zone.startsWith('-') ? -minutes : minutes) * 60_000
}

/** Milliseconds of a time of day such as `14:05:30.25` or `2:05 pm`; NaN when it is none. */
export function parseClock(text: string): number {
  return text.length > LONGEST || !text.includes(':') ? Number.NaN : clockMs(text.trim())
}

function withClock(dateMs: number, rest: string): number {
  const trimmed = rest.trim()
  return trimmed === '' || Number.isNaN(dateMs) ? dateMs : dateMs + clockMs(trimmed)
}

function fullYear(text: string): number {
  const year = Number(text)
  if (text.length > 2) return year
  return year < 70 ? 2000 + year : 1900 + year
}

function parseYearFirst(text: string): number {
  const date = YEAR_FIRST.exec(text)
  if (date !== null) {
    return withClock(midnight(Number(date[1]), Number(date[3]), Number(date[4])), text.slice(date[0].length))
  }
  const compact = COMPACT.exec(text)
  if (compact !== null) {
    const ms = midnight(Number(compact[1]), Number(compact[2]), Number(compact[3]))
    if (compact[4] === undefined) return withClock(ms, text.slice(compact[0].length))
    const rest = text.slice(compact[0].length)
    return ms + clockMs(`${compact[4]}:${compact[5]!}:${compact[6] ?? '00'}${rest}`)
  }
  const month = YEAR_AND_MONTH.exec(text)
  return month === null ? Number.NaN : midnight(Number(month[1]), Number(month[2]), 1)
}

function parseYearLast(text: string, monthFirst: boolean): number {
  const date = YEAR_LAST.exec(text)
  if (date === null) return Number.NaN
  const first = Number(date[1])
  const second = Number(date[3])
  const ms = midnight(fullYear(date[4]!), monthFirst ? first : second, monthFirst ? second : first)
  return withClock(ms, text.slice(date[0].length))
}

function parseNamedMonth(text: string): number {
  const month = (name: string): number => MONTHS.indexOf(name.toLowerCase()) + 1
  const day = DAY_NAMED.exec(text)
  if (day !== null) {
    return withClock(midnight(fullYear(day[3]!), month(day[2]!), Number(day[1])), text.slice(day[0].length))
  }
  const named = NAMED_DAY.exec(text)
  if (named !== null) {
    return withClock(
      midnight(Number(named[3]), month(named[1]!), Number(named[2])),
      text.slice(named[0].length),
    )
  }
  const ctime = CTIME.exec(text)
  if (ctime === null) return Number.NaN
  return withClock(midnight(Number(ctime[4]), month(ctime[1]!), Number(ctime[2])), ctime[3]!)
}

const EPOCH_UNITS = { 'epoch-s': 1000, 'epoch-ms': 1, 'epoch-us': 1e-3, 'epoch-ns': 1e-6 } as const

/** The unit a number since 1970 is read in, by its size: below 1e11 seconds, below 1e14 ms, below 1e17 µs, else ns. */
export function epochFormat(value: number): keyof typeof EPOCH_UNITS {
  const size = Math.abs(value)
  if (size < 1e11) return 'epoch-s'
  if (size < 1e14) return 'epoch-ms'
  return size < 1e17 ? 'epoch-us' : 'epoch-ns'
}

/** Epoch milliseconds, to the microsecond, of a number since 1970 in the unit given (by its size unless given). */
export function epochMs(value: number, format: keyof typeof EPOCH_UNITS = epochFormat(value)): number {
  const ms = value * EPOCH_UNITS[format]
  return Number.isInteger(ms) ? ms : Math.round(ms * 1000) / 1000
}

/** Epoch milliseconds (microseconds as the fraction) of a text in one known format; NaN when it does not fit. */
export function parseTimeAs(format: TimeFormat, raw: string): number {
  if (raw.length > LONGEST) return Number.NaN
  if (format === 'year-month-day') {
    const fixed = parseFixedIso(raw)
    return Number.isNaN(fixed) ? parseYearFirst(raw.trim()) : fixed
  }
  const text = raw.trim()
  switch (format) {
    case 'day-month-year':
      return parseYearLast(text, false)
    case 'month-day-year':
      return parseYearLast(text, true)
    case 'month-name':
      return parseNamedMonth(text)
    case 'year':
      return /^\d{4}$/.test(text) ? midnight(Number(text), 1, 1) : Number.NaN
    default:
      return PLAIN_NUMBER.test(text) ? epochMs(Number(text), format) : Number.NaN
  }
}

/** Epoch milliseconds of the `time` of a JSON point: ISO 8601 text, or a number (or digits) since 1970; NaN otherwise. */
export function parseTime(time: unknown): number {
  if (typeof time === 'number') return epochMs(time)
  if (typeof time !== 'string' || time.length > LONGEST) return Number.NaN
  const fixed = parseFixedIso(time)
  if (!Number.isNaN(fixed)) return fixed
  const text = time.trim()
  if (PLAIN_NUMBER.test(text)) return epochMs(Number(text))
  return parseYearFirst(text)
}
