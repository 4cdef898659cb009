import { POINT_LIMITS, type SeriesKey } from '../../metrics/metrics-engine.ts'
import { keyProblem } from '../../metrics/series-key.ts'
import type { LocalTime } from './local-time.ts'
import { parsePythonJson } from './python-json.ts'
import type { SourceTable, SourceValue } from './source.ts'

/** A column with more different values among so many rows changes from row to row, and does not say where a series comes from. */
const MAX_VALUES = 5_000
const SAMPLE_ROWS = 50_000
const MAX_REMEMBERED = 500_000

const OPTIONAL = ['unit', 'tags', 'entity_type', 'entity_id'] as const

/** Rows that are read at once. */
export const PAGE_ROWS = 2_000

/** Some rows of metrics as points, in columns; the same columns are filled anew with each page. */
export class MetricPage {
  count = 0
  readonly places = new BigInt64Array(PAGE_ROWS)
  /** Number of the series; {@link NO_SERIES} for a row that is no point. */
  readonly series = new Int32Array(PAGE_ROWS)
  /** Epoch milliseconds, with microseconds as the fraction. */
  readonly timesMs = new Float64Array(PAGE_ROWS)
  readonly values = new Float64Array(PAGE_ROWS)
  /** Why rows are no points, by index. */
  readonly problems = new Map<number, string>()
}

export const NO_SERIES = -1

/** Makes points of the rows of a table of metrics: name, unit, tags and what was measured are the series. */
export class MetricRows {
  /** What names a series does not hold, because it changes from row to row. */
  readonly leftOut: readonly string[]
  readonly #table: SourceTable
  readonly #zone: LocalTime
  readonly #columns: readonly string[]
  readonly #omittedTags: ReadonlySet<string>
  readonly #known = new Map<string, number | string>()
  readonly #keys: SeriesKey[] = []
  readonly #byKey = new Map<string, number>()

  constructor(table: SourceTable, zone: LocalTime) {
    this.#table = table
    this.#zone = zone
    const present = OPTIONAL.filter((column) => table.columns.has(column))
    const isWild = (column: string): boolean =>
      table.distinct(column, MAX_VALUES + 1, SAMPLE_ROWS).length > MAX_VALUES
    const wild = present.filter((column) => column !== 'tags' && isWild(column))
    this.#columns = present.filter((column) => !wild.includes(column))
    this.#omittedTags = present.includes('tags') ? wildTags(table) : new Set()
    this.leftOut = [...wild, ...[...this.#omittedTags].map((tag) => `tag ${tag}`)]
  }

  /** The series that rows were found to belong to so far, by their number. */
  get keys(): readonly SeriesKey[] {
    return this.#keys
  }

  /** The rows after a place, in order. */
  *after(after: bigint): Generator<MetricPage> {
    const columns = ['name', 'value', 'timestamp', ...this.#columns]
    const page = new MetricPage()
    for (const rows of this.#table.pages(columns, after, PAGE_ROWS)) {
      page.problems.clear()
      page.count = rows.length
      for (let at = 0; at < rows.length; at++) {
        const row = rows[at]!
        page.places[at] = row[0] as bigint
        const problem = this.#read(row, page, at)
        if (problem === undefined) continue
        page.series[at] = NO_SERIES
        page.problems.set(at, problem)
      }
      yield page
    }
  }

  /** Puts a row into a page; answers why it is no point. */
  #read(row: readonly SourceValue[], page: MetricPage, at: number): string | undefined {
    // One text of all that names a series: the same few come again and again.
    let text = String(row[1])
    for (let column = 4; column < row.length; column++) text += `\u0001${String(row[column])}`
    const series = this.#known.get(text) ?? this.#learn(text, row)
    if (typeof series === 'string') return series
    const value = toNumber(row[2]!)
    if (typeof value === 'string') return value
    const time = row[3]
    const timeMs = typeof time === 'string' ? this.#zone.parse(time) : Number.NaN
    const { minTimeMs, maxTimeMs } = POINT_LIMITS
    if (Number.isNaN(timeMs)) return `timestamp is no time: ${String(time).slice(0, 40)}`
    if (timeMs < minTimeMs || timeMs > maxTimeMs)
      return `timestamp ${String(time)} is outside the years 1970 to 2099`
    page.series[at] = series
    page.timesMs[at] = timeMs
    page.values[at] = value
    return undefined
  }

  #learn(text: string, row: readonly SourceValue[]): number | string {
    const found = this.#keyOf(row)
    const series = typeof found === 'string' ? found : this.#numberOf(found)
    if (this.#known.size >= MAX_REMEMBERED) this.#known.clear()
    this.#known.set(text, series)
    return series
  }

  #numberOf(key: SeriesKey): number {
    const text = JSON.stringify([
      key.metric,
      ...Object.entries(key.tags)
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .flat(),
    ])
    const known = this.#byKey.get(text)
    if (known !== undefined) return known
    this.#byKey.set(text, this.#keys.length)
    return this.#keys.push(key) - 1
  }

  #keyOf(row: readonly SourceValue[]): SeriesKey | string {
    const name = row[1]
    if (typeof name !== 'string') return 'name is no text'
    const given = Object.fromEntries(this.#columns.map((column, at) => [column, row[4 + at]!]))
    const tags: Record<string, string> = {}
    const text = given['tags'] ?? null
    if (text !== null && text !== '') {
      const parsed = typeof text === 'string' ? parsePythonJson(text)?.value : undefined
      if (parsed === undefined) return `tags are no JSON: ${String(text).slice(0, 40)}`
      if (parsed !== null && (typeof parsed !== 'object' || Array.isArray(parsed)))
        return 'tags are no JSON object'
      for (const [tag, value] of Object.entries(parsed ?? {}))
        if (value !== null && !this.#omittedTags.has(tag))
          tags[tag] = typeof value === 'string' ? value : JSON.stringify(value)
    }
    for (const column of ['unit', 'entity_type', 'entity_id']) {
      const value = given[column] ?? null
      if (value === null || value === '') continue
      // The tags of the source keep their names.
      tags[column in tags ? `pynomaly_${column}` : column] = String(value)
    }
    const key = { metric: name, tags }
    return keyProblem(key) ?? key
  }
}

function toNumber(value: SourceValue): number | string {
  if (typeof value === 'number') {
    if (Number.isFinite(value) && Math.abs(value) > POINT_LIMITS.maxAbsoluteValue)
      return `value ${value} is beyond ±${POINT_LIMITS.maxAbsoluteValue}`
    return value + 0
  }
  if (typeof value === 'bigint') {
    const number = Number(value)
    return BigInt(number) === value ? number : `value ${value} has more digits than a number here keeps`
  }
  return value === null ? 'value is missing' : `value is no number: ${String(value).slice(0, 40)}`
}

/** Tags with too many different values to name a series by. */
function wildTags(table: SourceTable): ReadonlySet<string> {
  const texts = table.distinct('tags', SAMPLE_ROWS, SAMPLE_ROWS)
  if (texts.length <= MAX_VALUES) return new Set()
  const values = new Map<string, Set<string>>()
  for (const text of texts) {
    const parsed = typeof text === 'string' ? parsePythonJson(text)?.value : undefined
    if (typeof parsed !== 'object' || parsed === null) continue
    for (const [tag, value] of Object.entries(parsed)) {
      if (!values.has(tag)) values.set(tag, new Set())
      values.get(tag)!.add(JSON.stringify(value))
    }
  }
  return new Set([...values].filter(([, seen]) => seen.size > MAX_VALUES).map(([tag]) => tag))
}
