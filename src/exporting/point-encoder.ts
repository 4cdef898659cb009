import type { SeriesKey } from '../metrics/metrics-engine.ts'

/** The formats points are given out in. */
export const EXPORT_FORMATS = ['csv', 'ndjson', 'parquet'] as const

export type ExportFormat = (typeof EXPORT_FORMATS)[number]

/** Points of one series in ascending time. */
export interface PointRun {
  readonly key: SeriesKey
  /** Epoch microseconds. */
  readonly micros: Float64Array
  readonly values: Float64Array
}

/** Writes points in one format, as bytes whose order is that of the calls. */
export interface PointEncoder {
  /** What stands before all points. */
  begin(): Uint8Array
  /** Nothing where points are gathered before they are written. */
  encode(run: PointRun): Uint8Array
  /** What stands after all points. */
  end(): Uint8Array
}
