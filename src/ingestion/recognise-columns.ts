import { invalidField } from '../errors.ts'
import { POINT_LIMITS } from '../metrics/metrics-engine.ts'
import type { ColumnChoice, ColumnOverrides, ColumnPlan, TimeColumn, ValueColumn } from './column-plan.ts'
import { guessNumberFormat, isMissing, PLAIN_NUMBERS, type NumberGuess } from './number-format.ts'
import { timeReader } from './row-reader.ts'
import { isTimeName, recogniseTime } from './recognise-time.ts'

const METRIC_NAMES =
  /^(?:metric|metrics|metric[_ ]?name|measure|measurement|variable|parameter|indicator|field|kpi|signal)$/i
const ID_NAMES =
  /(?:^|[_\s.-])(?:id|ids|uuid|guid|key|code|zip|plz|postcode|number|no|nr)$|[a-z](?:Id|ID|Uuid)$|^(?:index|row|rownum|unnamed:? ?\d*)$/i
const SOURCE_NAMES =
  /(?:host|server|node|instance|device|sensor|machine|service|region|zone|site|station|location|city|country|store|shop|symbol|ticker|product|category|channel|customer|tenant|account|meter|line|plant|vehicle|interface|pod|container|cluster|environment|env|app|source)s?(?:[_\s-]?(?:id|name|code))?$/i

const VALUE_NAMES = /^(?:value|values|val|reading|wert|valeur|valor)$/i

/** What share of the filled cells must be numbers; less is asked of a column named or chosen as the value. */
const NUMERIC_SHARE = 0.9
const NUMERIC_SHARE_NAMED = 0.5
const MAX_TAG_VALUES = 1000
const MAX_TAG_LENGTH = 100
const REGULAR_SHARE = 0.8

export interface RecogniseOptions {
  readonly columns?: ColumnOverrides
  /** The cells are separated by semicolons, as where commas stand in numbers: `1,234` then is 1.234. */
  readonly preferDecimalComma?: boolean
}

/**
 * Tells from a header and some rows (the more, the surer; all of one width) what each column is: the time, values, tags, or
 * nothing of use, with a sentence each. `time` is undefined when no column says when. Throws `invalid_input` when
 * a column named in the options does not exist or cannot play its part.
 */
export function recogniseColumns(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  options: RecogniseOptions = {},
): ColumnPlan {
  return new Recognition(header, rows, options).plan()
}

class Recognition {
  readonly #header: readonly string[]
  readonly #rows: readonly (readonly string[])[]
  readonly #columns: string[][]
  readonly #guesses: NumberGuess[]
  readonly #wanted: { time?: number; values?: number[]; tags?: number[]; metric?: number }
  readonly #ignored: ColumnChoice[] = []

  constructor(header: readonly string[], rows: readonly (readonly string[])[], options: RecogniseOptions) {
    this.#header = header
    this.#rows = rows
    this.#columns = header.map((_, index) => rows.map((row) => row[index] ?? ''))
    this.#guesses = this.#columns.map((cells) => guessNumberFormat(cells, options.preferDecimalComma))
    const { time, values, tags, metric } = options.columns ?? {}
    this.#wanted = {
      ...(time === undefined ? {} : { time: this.#indexOf('time', time) }),
      ...(values === undefined ? {} : { values: values.map((name) => this.#indexOf('value', name)) }),
      ...(tags === undefined ? {} : { tags: tags.map((name) => this.#indexOf('tag', name)) }),
      ...(metric === undefined ? {} : { metric: this.#indexOf('metric', metric) }),
    }
  }

  plan(): ColumnPlan {
    const time = this.#time()
    const taken = new Set([time?.index, time?.clockIndex, this.#wanted.metric, ...(this.#wanted.tags ?? [])])
    const free = this.#header.map((_, index) => index).filter((index) => !taken.has(index))
    const numeric = free.filter(
      (index) => this.#isNumeric(index) && (this.#wanted.values?.includes(index) ?? true),
    )
    const measured = numeric.filter((index) => !this.#isIdentifier(index))
    // Rather a column that seems to count rows than nothing, as long as its name does not say that it is an id.
    const any = numeric.filter((index) => !ID_NAMES.test(this.#header[index]!.trim()))
    const values = this.#wanted.values ?? (measured.length > 0 ? measured : any)
    this.#checkValues(values)
    const metric = this.#wanted.metric ?? this.#metricColumn(free, values)
    const tags = this.#tags(
      free.filter((index) => index !== metric && !values.includes(index)),
      time,
    )
    const choices = values.map((index) => this.#valueColumn(index, values.length))
    return {
      layout: metric === undefined ? 'wide' : 'long',
      columns: this.#header.length,
      time,
      metric: metric === undefined ? undefined : this.#choice(metric, 'Names the metric of each row.'),
      values: choices,
      tags: tags.toSorted((a, b) => a.index - b.index),
      ignored: this.#ignored.toSorted((a, b) => a.index - b.index),
    }
  }

  #indexOf(part: string, name: string): number {
    const exact = this.#header.indexOf(name)
    if (exact >= 0) return exact
    const loose = this.#header.findIndex((text) => text.toLowerCase() === name.trim().toLowerCase())
    if (loose >= 0) return loose
    const number = Number(name)
    if (Number.isInteger(number) && number >= 1 && number <= this.#header.length) return number - 1
    throw invalidField(
      `${part} column`,
      `there is no column "${name}"`,
      `The columns are: ${this.#header.join(', ')}.`,
    )
  }

  #choice(index: number, reason: string): ColumnChoice {
    return { index, name: this.#header[index]!, reason }
  }

  #time(): TimeColumn | undefined {
    const time = recogniseTime(this.#header, this.#columns, this.#wanted.time)
    if (time === undefined && this.#wanted.time !== undefined && this.#rows.length > 0) {
      const sample = this.#columns[this.#wanted.time]!.find((cell) => !isMissing(cell)) ?? ''
      throw invalidField(
        'time column',
        `"${this.#header[this.#wanted.time]}" holds no times that can be read, such as "${sample.slice(0, 40)}"`,
        'Times are ISO 8601, dates with a known order, or numbers since 1970.',
      )
    }
    return time
  }

  #isNumeric(index: number): boolean {
    const { filled, numeric } = this.#guesses[index]!
    const expected =
      VALUE_NAMES.test(this.#header[index]!.trim()) || this.#wanted.values?.includes(index) === true
    return filled > 0 && numeric / filled >= (expected ? NUMERIC_SHARE_NAMED : NUMERIC_SHARE)
  }

  /** Whole numbers that number the rows or name things, judging by the header too. */
  #isIdentifier(index: number): boolean {
    const name = this.#header[index]!.trim()
    const cells = this.#columns[index]!.filter((cell) => !isMissing(cell))
    if (!cells.every((cell) => /^\s*-?\d+\s*$/.test(cell))) return false
    if (ID_NAMES.test(name)) return true
    const countsRows =
      cells.length > 2 && cells.every((cell, at) => at === 0 || Number(cell) === Number(cells[at - 1]) + 1)
    return countsRows && (name === '' || /^column \d+$/.test(name) || isTimeName(name))
  }

  #checkValues(values: readonly number[]): void {
    for (const index of values) {
      if (this.#rows.length === 0 || this.#isNumeric(index)) continue
      const sample = this.#columns[index]!.find((cell) => !isMissing(cell)) ?? ''
      const reason = `"${this.#header[index]}" holds no numbers, such as "${sample.slice(0, 40)}"`
      throw invalidField('value column', reason, 'Choose a column of numbers.')
    }
  }

  /** The long layout: one column of values beside one whose name and few texts say what they measure. */
  #metricColumn(free: readonly number[], values: readonly number[]): number | undefined {
    if (values.length !== 1) return undefined
    return free.find((index) => {
      if (values.includes(index) || this.#wanted.tags?.includes(index) === true) return false
      if (!METRIC_NAMES.test(this.#header[index]!.trim()) || this.#isNumeric(index)) return false
      return new Set(this.#columns[index]).size <= MAX_TAG_VALUES
    })
  }

  #valueColumn(index: number, count: number): ValueColumn {
    const { format, ambiguous } = this.#guesses[index]!
    const name = this.#header[index]!
    const unnamed = /^column \d+$/.test(name)
    const words = [`Numbers`]
    if (format.decimal === ',') words.push('with a decimal comma')
    if (format.group !== '')
      words.push(`with ${format.group === ' ' ? 'spaces' : `"${format.group}"`} between thousands`)
    if (format.prefix + format.suffix !== '') words.push(`in ${format.prefix}${format.suffix}`)
    const doubt = ambiguous ? ' (a decimal mark would be possible too)' : ''
    return {
      ...this.#choice(index, `${words.join(' ')}${doubt}.`),
      metric: (unnamed && count === 1 ? 'value' : name).slice(0, POINT_LIMITS.maxMetricLength).toWellFormed(),
      number: this.#guesses[index]!.filled === 0 ? PLAIN_NUMBERS : format,
    }
  }

  #tags(left: readonly number[], time: TimeColumn | undefined): ColumnChoice[] {
    const tags = (this.#wanted.tags ?? []).map((index) => this.#choice(index, 'Chosen as a tag.'))
    const oneRowPerTime = this.#hasOneRowPerTime(time)
    for (const index of left) {
      const cells = this.#columns[index]!.filter((cell) => !isMissing(cell))
      const distinct = new Set(cells)
      const isSource = SOURCE_NAMES.test(this.#header[index]!.trim())
      const ignore = (reason: string): unknown => this.#ignored.push(this.#choice(index, reason))
      if (
        this.#wanted.tags !== undefined ||
        (this.#wanted.values?.includes(index) === false && this.#isNumeric(index))
      ) {
        ignore('Not among the columns chosen.')
      } else if (cells.length === 0) ignore('Empty.')
      else if (isTimeName(this.#header[index]!) && recogniseTime([''], [cells]) !== undefined)
        ignore('Another time.')
      else if (
        distinct.size > MAX_TAG_VALUES ||
        distinct.size > Math.max(isSource ? 20 : 1, cells.length / 2)
      ) {
        ignore(
          this.#isNumeric(index)
            ? 'Numbers that count or name the rows.'
            : `Text that differs from row to row (${distinct.size} in ${cells.length} rows).`,
        )
      } else if (Math.max(...cells.map((cell) => cell.length)) > MAX_TAG_LENGTH) ignore('Long text.')
      else if (distinct.size === 1)
        tags.push(this.#choice(index, 'The same text in all rows looked at: names the source.'))
      else if (oneRowPerTime && !isSource) {
        ignore(
          `There is one row per time, so its ${distinct.size} texts describe rows rather than name series.`,
        )
      } else tags.push(this.#choice(index, `Few different texts (${distinct.size}): each names a series.`))
    }
    return tags
  }

  /** Times that ascend in mostly equal steps: one series, whatever else a row says. */
  #hasOneRowPerTime(time: TimeColumn | undefined): boolean {
    if (time === undefined || this.#rows.length < 3) return false
    const read = timeReader(time)
    const times = this.#rows.map((row) => read(row)).filter((ms) => !Number.isNaN(ms))
    const steps = times.slice(1).map((ms, at) => ms - times[at]!)
    if (steps.some((step) => step <= 0)) return false
    const usual = steps.toSorted((a, b) => a - b)[Math.floor(steps.length / 2)]!
    const regular = steps.filter((step) => Math.abs(step - usual) <= usual * 0.01).length / steps.length
    return regular >= REGULAR_SHARE
  }
}
