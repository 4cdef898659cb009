import { POINT_LIMITS, type SeriesKey } from '../../metrics/metrics-engine.ts'
import { keyProblem } from '../../metrics/series-key.ts'
import type { LocalTime } from './local-time.ts'
import { parsePythonJson } from './python-json.ts'
import type { SourceTable, SourceValue } from './source.ts'

/** A column with more different values than this changes from row to row, and does not say where a series comes from. */
const MAX_VALUES = 5_000
/** Different texts of tags that are looked at to find such a tag. */
const MAX_TAG_TEXTS = 20_000
const MAX_REMEMBERED = 500_000

const OPTIONAL = ['unit', 'tags', 'entity_type', 'entity_id'] as const

/** A row of metrics as a point, or why it is none. */
export type MetricRow =
  | { readonly series: number; readonly timeMs: number; readonly value: number }
  | { readonly problem: string }

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
    const isWild = (column: string): boolean => table.distinct(column, MAX_VALUES + 1).length > MAX_VALUES
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
  *after(after: bigint): Generator<readonly [place: bigint, row: MetricRow]> {
    const columns = ['name', 'value', 'timestamp', ...this.#columns]
    for (const row of this.#table.select(columns, after)) {
      // One text of all that names a series: the same few come again and again.
      let text = String(row[1])
      for (let at = 4; at < row.length; at++) text += `\u0001${String(row[at])}`
      const series = this.#known.get(text) ?? this.#learn(text, row)
      yield [row[0] as bigint, this.#point(series, row[2]!, row[3]!)]
    }
  }

  #point(series: number | string, value: SourceValue, time: SourceValue): MetricRow {
    if (typeof series === 'string') return { problem: series }
    const number = toNumber(value)
    if (typeof number === 'string') return { problem: number }
    const timeMs = typeof time === 'string' ? this.#zone.parse(time) : Number.NaN
    const { minTimeMs, maxTimeMs } = POINT_LIMITS
    if (Number.isNaN(timeMs)) return { problem: `timestamp is no time: ${String(time).slice(0, 40)}` }
    if (timeMs < minTimeMs || timeMs > maxTimeMs)
      return { problem: `timestamp ${String(time)} is outside the years 1970 to 2099` }
    return { series, timeMs, value: number }
  }

  #learn(text: string, row: readonly SourceValue[]): number | string {
    const found = this.#keyOf(row)
    const series = typeof found === 'string' ? found : this.#numberOf(found)
    if (this.#known.size >= MAX_REMEMBERED) this.#known.clear()
    this.#known.set(text, series)
    return series
  }

  #numberOf(key: SeriesKey): number {
    const text = JSON.stringify([key.metric, ...Object.entries(key.tags).toSorted().flat()])
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
  const texts = table.distinct('tags', MAX_TAG_TEXTS)
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
