/** How the digits of a column are written. */
export interface NumberFormat {
  readonly decimal: '.' | ','
  /** Character between thousands; '' when there is none, ' ' for any kind of space. */
  readonly group: '' | ',' | '.' | ' ' | "'" | '_'
  /** Text around the digits in every cell, such as '€' or 'ms', left away. */
  readonly prefix: string
  readonly suffix: string
}

/** How the times of a column are written; what carries no zone is UTC. */
export type TimeFormat =
  | 'year-month-day'
  | 'day-month-year'
  | 'month-day-year'
  | 'month-name'
  | 'year'
  | 'epoch-s'
  | 'epoch-ms'
  | 'epoch-us'
  | 'epoch-ns'

/** A column, and in one sentence why it plays its part. */
export interface ColumnChoice {
  /** Position in the row, from 0. */
  readonly index: number
  readonly name: string
  readonly reason: string
}

export interface TimeColumn extends ColumnChoice {
  readonly format: TimeFormat
  /** Position of the column that holds the time of day, when date and time are apart. */
  readonly clockIndex?: number
  /** The order of day and month could not be told from the rows. */
  readonly ambiguous: boolean
}

export interface ValueColumn extends ColumnChoice {
  /** Name of the metric this column becomes; in the long layout it comes from the metric column instead. */
  readonly metric: string
  readonly number: NumberFormat
}

/** Which column is what; JSON-serialisable. */
export interface ColumnPlan {
  /** `wide`: each value column is a metric. `long`: one column names the metric, one holds the value. */
  readonly layout: 'wide' | 'long'
  readonly columns: number
  readonly time: TimeColumn | undefined
  readonly metric: ColumnChoice | undefined
  readonly values: readonly ValueColumn[]
  readonly tags: readonly ColumnChoice[]
  readonly ignored: readonly ColumnChoice[]
}

/** Columns named by the user: by header, or by number from 1. What is left out is recognised. */
export interface ColumnOverrides {
  readonly time?: string
  readonly values?: readonly string[]
  readonly tags?: readonly string[]
  readonly metric?: string
}
