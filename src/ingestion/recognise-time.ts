import type { TimeColumn, TimeFormat } from './column-plan.ts'
import { isMissing } from './number-format.ts'
import { epochFormat, parseClock, parseTimeAs } from './parse-time.ts'

const TIME_NAMES =
  /^(?:.*[_\s.-])?(?:time|timestamp|ts|date|datetime|day|when|epoch|zeit|zeitpunkt|zeitstempel|datum|uhrzeit|fecha|hora|heure|created|updated|recorded|observed|measured)(?:[_\s-]?(?:at|on|utc|ms|s|us|ns|iso))?(?:\s*[([].*)?$|(?:time|date|stamp)$/i
const YEAR_NAMES = /^(?:year|jahr|yr|año|annee|année)$/i
const CLOCK_NAMES = /^(?:.*[_\s.-])?(?:time|hour|clock|uhrzeit|zeit|hora|heure)(?:[_\s-]?of[_\s-]?day)?$/i

/** What share of the filled cells must be times; less is asked of a column whose name says so. */
const ENOUGH = 0.9
const ENOUGH_NAMED = 0.5
const PROBED = 20
const TEXT_FORMATS: readonly TimeFormat[] = [
  'year-month-day',
  'day-month-year',
  'month-day-year',
  'month-name',
]
const FORMAT_WORDS: Readonly<Record<TimeFormat, string>> = {
  'year-month-day': 'year-month-day',
  'day-month-year': 'day/month/year',
  'month-day-year': 'month/day/year',
  'month-name': 'dates with the name of the month',
  year: 'years',
  'epoch-s': 'seconds since 1970',
  'epoch-ms': 'milliseconds since 1970',
  'epoch-us': 'microseconds since 1970',
  'epoch-ns': 'nanoseconds since 1970',
}
const EARLIEST_GUESS_MS = Date.UTC(1990)
const LATEST_GUESS_MS = Date.UTC(2100)

interface Candidate extends TimeColumn {
  readonly score: number
}

/** The name of a column speaks of time. */
export function isTimeName(name: string): boolean {
  return TIME_NAMES.test(name.trim()) || YEAR_NAMES.test(name.trim())
}

/** Finds the column (or the two: date and time of day) that says when, from all rows given; `undefined` when none does. */
export function recogniseTime(
  header: readonly string[],
  columns: readonly (readonly string[])[],
  wanted?: number,
): TimeColumn | undefined {
  const candidates = columns
    .map((cells, index) =>
      wanted === undefined || wanted === index ? readColumn(header[index]!, index, cells) : undefined,
    )
    .filter((candidate) => candidate !== undefined)
  const best = candidates.reduce<Candidate | undefined>(
    (top, candidate) => (top === undefined || candidate.score > top.score ? candidate : top),
    undefined,
  )
  if (best === undefined) return undefined
  const { score: _, ...column } = best
  return withClockColumn(column, header, columns)
}

function filledCells(cells: readonly string[]): string[] {
  return cells.filter((cell) => !isMissing(cell))
}

function readColumn(name: string, index: number, cells: readonly string[]): Candidate | undefined {
  const filled = filledCells(cells)
  if (filled.length === 0) return undefined
  return readTexts(name, index, filled) ?? readNumbers(name, index, filled)
}

function readTexts(name: string, index: number, filled: readonly string[]): Candidate | undefined {
  const parsed = TEXT_FORMATS.map((format) => {
    const isTime = (cell: string): boolean => !Number.isNaN(parseTimeAs(format, cell))
    // Most columns are of other things: that shows soon.
    const hopeful = filled.slice(0, PROBED).some(isTime)
    return filled.map((cell) => (hopeful ? parseTimeAs(format, cell) : Number.NaN))
  })
  const shares = parsed.map((times) => times.filter((ms) => !Number.isNaN(ms)).length / filled.length)
  const most = Math.max(...shares)
  const named = isTimeName(name)
  if (most < (named ? ENOUGH_NAMED : ENOUGH)) return undefined
  // Eight digits alone could be any number: only a name that speaks of time makes them dates.
  if (!named && filled.every((cell) => /^\s*\d{8}\s*$/.test(cell))) return undefined
  const fitting = TEXT_FORMATS.filter((_, at) => shares[at] === most)
  let format = fitting[0]!
  let ambiguous = false
  let why = `read as ${FORMAT_WORDS[format]}`
  if (fitting.includes('day-month-year') && fitting.includes('month-day-year')) {
    const choice = chooseOrder(filled, parsed[1]!, parsed[2]!)
    format = choice.format
    ambiguous = choice.ambiguous
    why = choice.why
  } else if (format === 'day-month-year' || format === 'month-day-year') {
    why = `read as ${FORMAT_WORDS[format]}: some rows allow nothing else`
  }
  return {
    index,
    name,
    format,
    ambiguous,
    reason: `Times, ${why}.`,
    score: most + (named ? 2 : 0) + 1,
  }
}

/** Day or month first, when every row allows both: by the separator, by which order ascends, by which spans less. */
function chooseOrder(
  filled: readonly string[],
  dayFirst: readonly number[],
  monthFirst: readonly number[],
): { format: 'day-month-year' | 'month-day-year'; ambiguous: boolean; why: string } {
  if (filled.every((cell) => /^\s*\d+\./.test(cell))) {
    return { format: 'day-month-year', ambiguous: false, why: 'read as day.month.year, as dots are used for' }
  }
  const ascents = (times: readonly number[]): number =>
    times.reduce((count, ms, at) => count + (at > 0 && ms >= times[at - 1]! ? 1 : 0), 0)
  const day = ascents(dayFirst)
  const month = ascents(monthFirst)
  if (day !== month) {
    const format = day > month ? 'day-month-year' : 'month-day-year'
    return {
      format,
      ambiguous: false,
      why: `read as ${FORMAT_WORDS[format]}: so the rows are in ascending order`,
    }
  }
  const span = (times: readonly number[]): number => Math.abs(times.at(-1)! - times[0]!)
  const format = span(dayFirst) < span(monthFirst) ? 'day-month-year' : 'month-day-year'
  return {
    format,
    ambiguous: true,
    why: `read as ${FORMAT_WORDS[format]}, but the order of day and month is ambiguous in all rows`,
  }
}

function readNumbers(name: string, index: number, filled: readonly string[]): Candidate | undefined {
  const numbers = filled.map((cell) =>
    /^\s*\d+(?:\.\d+)?(?:[eE]\+?\d+)?\s*$/.test(cell) ? Number(cell) : Number.NaN,
  )
  const readable = numbers.filter((value) => !Number.isNaN(value))
  const share = readable.length / filled.length
  const named = isTimeName(name)
  if (share < (named ? ENOUGH_NAMED : ENOUGH)) return undefined
  const typical = readable.toSorted((a, b) => a - b)[Math.floor(readable.length / 2)]!
  if (YEAR_NAMES.test(name.trim()) || (named && readable.every((value) => value >= 1900 && value <= 2100))) {
    const years = filled.filter((cell) => /^\s*\d{4}\s*$/.test(cell)).length / filled.length
    if (years < ENOUGH) return undefined
    return {
      index,
      name,
      format: 'year',
      ambiguous: false,
      reason: 'Times, read as years.',
      score: 1.5 + share,
    }
  }
  const format = epochFormat(typical)
  const plausible = readable.every((value) => {
    const ms = parseTimeAs(format, String(value))
    return ms >= EARLIEST_GUESS_MS && ms <= LATEST_GUESS_MS
  })
  const ascents =
    readable.filter((value, at) => at === 0 || value >= readable[at - 1]!).length / readable.length
  if (!named && (!plausible || ascents < ENOUGH || readable.length < 3)) return undefined
  const reason = `Numbers, read as ${FORMAT_WORDS[format]}${plausible ? ` from their size` : ''}.`
  return {
    index,
    name,
    format,
    ambiguous: false,
    reason,
    score: share + (named ? 2 : 0) + (plausible ? 0.5 : -1),
  }
}

/** When the dates carry no time of day and another column holds nothing else, the two belong together. */
function withClockColumn(
  column: TimeColumn,
  header: readonly string[],
  columns: readonly (readonly string[])[],
): TimeColumn {
  const dates = filledCells(columns[column.index]!)
  if (column.format.startsWith('epoch') || dates.some((cell) => cell.includes(':'))) return column
  const clocks = columns.map((cells, index): number => {
    const filled = filledCells(cells)
    const fits = filled.filter((cell) => !Number.isNaN(parseClock(cell))).length
    if (index === column.index || filled.length === 0 || fits / filled.length < ENOUGH) return 0
    return CLOCK_NAMES.test(header[index]!) ? 2 : 1
  })
  const clockIndex = clocks.indexOf(Math.max(...clocks))
  if (clocks[clockIndex] === 0) return column
  const reason = `${column.reason.slice(0, -1)}, together with the time of day in "${header[clockIndex]}".`
  return { ...column, clockIndex, reason }
}
