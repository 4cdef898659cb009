import type { SeriesKey } from '../metrics/metrics-engine.ts'
import type { ColumnOverrides, ColumnPlan } from './column-plan.ts'

/** The formats points are accepted in; see docs/reference/formats.md. */
export type PointFormat = 'ndjson' | 'json' | 'csv'

/**
 * Points in columns: index `i` of `series`, `timesMs`, `values` and `lines` is one point, in the order of the input.
 * `series` holds indexes into `keys`; the key objects of one series stay the same from chunk to chunk.
 */
export interface ParsedPoints {
  readonly keys: SeriesKey[]
  readonly series: Uint32Array
  /** Epoch milliseconds, with microseconds as the fraction. */
  readonly timesMs: Float64Array
  readonly values: Float64Array
  /** Line of the input each point came from, from 1; in JSON the position in the array. */
  readonly lines: Uint32Array
}

/** A line that gave no point, and why: the reason starts with the field. */
export interface RejectedLine {
  readonly line: number
  readonly reason: string
}

/** At most {@link CHUNK_POINTS} points, and what was refused since the chunk before. */
export interface ParsedChunk {
  readonly points: ParsedPoints
  /** The first {@link ParseOptions.maxRejectedListed} over the whole input; what comes after is only counted. */
  readonly rejected: RejectedLine[]
  /** How many were refused since the chunk before. */
  readonly rejectedTotal: number
  /** How the columns were read; with CSV only, the same in each chunk. */
  readonly columns?: ColumnPlan
}

/** Points in one chunk, at most. */
export const CHUNK_POINTS = 10_000

/** Structural limits: beyond them {@link ParsedChunk}s end with a `too_large` error. */
export const INPUT_LIMITS = {
  /** Bytes of one line, CSV record or element of a JSON array. */
  maxLineBytes: 1_048_576,
  /** Columns of a CSV table. */
  maxColumns: 2000,
  maxSeries: 100_000,
} as const

export interface ParseOptions {
  /** Distinct series in the whole input; {@link INPUT_LIMITS.maxSeries} unless told. */
  readonly maxSeries?: number
  /** Refused lines listed with their reason over the whole input; 100 unless told. */
  readonly maxRejectedListed?: number
  /** NDJSON: a chunk need not be full when nothing came for so long, as from a program that writes a line now and then. */
  readonly flushAfterMs?: number
  /** CSV: columns named by the user instead of recognised. */
  readonly columns?: ColumnOverrides
  /** CSV: without a time column, take row numbers as times, this many milliseconds apart, instead of an error. */
  readonly rowStepMs?: number
}
