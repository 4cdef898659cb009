import type { MetricsEngine } from './metrics-engine.ts'

/** Where a figure comes from. */
export interface MeasuredBytes {
  readonly bytes: number
  readonly source: string
}

/** What is stored of points, by engine, in bytes, indexes included. */
export interface StorageCosts {
  /** One point that is not compressed. */
  readonly point: MeasuredBytes
  /** One point that is compressed; equal to `point` where nothing is. */
  readonly compressedPoint: MeasuredBytes
  /** Beside its points, what one series takes in one chunk that is compressed, for each {@link POINTS_PER_BATCH} of them. */
  readonly compressedBatch: MeasuredBytes
  /** One hour, or one day, of one series in the roll-ups. */
  readonly rollUp: MeasuredBytes
}

/** A point that is not compressed, without its key (PostgreSQL manual, 73.6: header, line pointer, three columns). */
export const HEAP_BYTES = 52

/** Points that TimescaleDB packs together at most (its documentation on the columnstore). */
export const POINTS_PER_BATCH = 1000

const SERVERS = 'PostgreSQL 15.20, TimescaleDB 2.28.3'
const BENCH = `bench/results/metrics.json, 10 M points, ${SERVERS}`
const LOADED = `500 series, each minute for a day, loaded as live points come, ${SERVERS}`
const HOURLY = `1,000 series, each hour for ten days, ${SERVERS}`

/** Measured; a test loads points and compares. */
export const STORAGE_COSTS: Readonly<Record<MetricsEngine['name'], StorageCosts>> = {
  partitioned: {
    point: { bytes: 84.3, source: `${BENCH}: settled points with their key` },
    compressedPoint: { bytes: 84.3, source: 'plain PostgreSQL compresses no points' },
    compressedBatch: { bytes: 0, source: 'plain PostgreSQL compresses no points' },
    rollUp: { bytes: 148, source: LOADED },
  },
  timescale: {
    point: { bytes: 87.9, source: LOADED },
    compressedPoint: {
      bytes: 7.7,
      source: `${LOADED}: values of two decimals; 8.6 where all is noise, 0.6 for whole numbers of few kinds`,
    },
    compressedBatch: { bytes: 300, source: HOURLY },
    rollUp: { bytes: 165, source: LOADED },
  },
}

/** One series in the catalogue, with its three indexes, beside the texts of its name, which stand there once and in an index. */
export const SERIES_BYTES: MeasuredBytes = { bytes: 420, source: `${LOADED}: names of 70 bytes` }

/** The newest point of one series, on half-filled pages, between two rounds of the server's cleaning. */
export const NEWEST_POINT_BYTES: MeasuredBytes = { bytes: 450, source: LOADED }

/** A page of PostgreSQL: points of a series are appended to one page of the key, which is to stay in memory. */
export const PAGE_BYTES = 8192

/** What the process that takes points remembers of one series: its name, its id, and the entry that finds it. */
export const REMEMBERED_SERIES_BYTES: MeasuredBytes = {
  bytes: 250,
  source: 'heap of Node 24.21 with 20,000 series of 45 bytes remembered',
}

/** Estimates are meant to be within this factor of what is then stored. */
export const ESTIMATE_FACTOR = 1.5

/** Compressed, by what the values are: whole numbers of few kinds take less, what is all noise takes more. */
export const COMPRESSION_FACTOR = 2
