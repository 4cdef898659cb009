import type { ColumnPlan } from './column-plan.ts'
import { parseTime } from './parse-time.ts'
import type { PointCollector } from './point-collector.ts'
import { PLAIN_NUMBERS } from './number-format.ts'

/** The first columns of a table of points as it is exported. */
export const POINT_TABLE_COLUMNS = ['time', 'metric', 'value'] as const
/** Then all tags as one JSON object … */
export const POINT_TABLE_TAGS = 'tags'
/** … or a column for each tag, whose name follows this. */
export const POINT_TABLE_TAG = 'tags.'

const TAGS_COLUMN = POINT_TABLE_COLUMNS.length
const HEAD = /^time,metric,value,"?tags[.,\r\n]/
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i
const MAX_TAG_TEXTS = 10_000

/** Whether a text begins like a table of points as it is exported: then nothing about it need be guessed. */
export function isPointTable(text: string): boolean {
  return HEAD.test(text)
}

/** Reads the rows of an exported table to the very points it was made from. */
export class PointTable {
  readonly plan: ColumnPlan
  readonly #collector: PointCollector
  readonly #tagNames: readonly string[] | undefined
  #tagTexts = new Map<string, unknown>()

  private constructor(header: readonly string[], collector: PointCollector) {
    this.#collector = collector
    this.#tagNames =
      header[TAGS_COLUMN] === POINT_TABLE_TAGS
        ? undefined
        : header.slice(TAGS_COLUMN).map((name) => name.slice(POINT_TABLE_TAG.length))
    this.plan = planOf(header, this.#tagNames)
  }

  /** The reader for a table with this header and first row; `undefined` where they are of another kind. */
  static of(
    header: readonly string[],
    first: readonly string[] | undefined,
    collector: PointCollector,
  ): PointTable | undefined {
    const tags = header.slice(TAGS_COLUMN)
    const hasTagColumns =
      tags.length > 0 && tags.every((name) => name.startsWith(POINT_TABLE_TAG) && name !== POINT_TABLE_TAG)
    const hasTags = tags.length === 1 && tags[0] === POINT_TABLE_TAGS
    if (!POINT_TABLE_COLUMNS.every((name, at) => header[at] === name)) return undefined
    if (!(hasTagColumns || hasTags) || first?.length !== header.length) return undefined
    if (Number.isNaN(parseTime(first[0])) || (hasTags && !first[TAGS_COLUMN]!.startsWith('{')))
      return undefined
    return new PointTable(header, collector)
  }

  /** Adds the point of one row; yields whenever the collector is full and must be emptied before going on. */
  *add(cells: readonly string[], line: number): Generator<void> {
    if (cells.length !== this.plan.columns) {
      this.#collector.reject(line, `row: ${cells.length} columns, the table has ${this.plan.columns}`)
      return
    }
    const [time, metric, value] = cells as [string, string, string]
    this.#collector.addRecord(
      { time, metric, tags: this.#tagsOf(cells), value: NUMBER.test(value) ? Number(value) : value },
      line,
    )
    if (this.#collector.full) yield
  }

  #tagsOf(cells: readonly string[]): unknown {
    if (this.#tagNames !== undefined)
      return Object.fromEntries(this.#tagNames.map((name, at) => [name, cells[TAGS_COLUMN + at]!]))
    const text = cells[TAGS_COLUMN]!
    let tags = this.#tagTexts.get(text)
    if (tags !== undefined) return tags
    try {
      tags = JSON.parse(text) as unknown
    } catch {
      // Refused with the text that stands there.
      tags = text
    }
    if (this.#tagTexts.size >= MAX_TAG_TEXTS) this.#tagTexts = new Map()
    this.#tagTexts.set(text, tags)
    return tags
  }
}

function planOf(header: readonly string[], tagNames: readonly string[] | undefined): ColumnPlan {
  const reason = 'As in an exported table of points.'
  return {
    layout: 'long',
    columns: header.length,
    time: { index: 0, name: 'time', format: 'year-month-day', ambiguous: false, reason },
    metric: { index: 1, name: 'metric', reason },
    values: [{ index: 2, name: 'value', metric: 'value', number: PLAIN_NUMBERS, reason }],
    tags: (tagNames ?? [POINT_TABLE_TAGS]).map((name, at) => ({ index: TAGS_COLUMN + at, name, reason })),
    ignored: [],
  }
}
