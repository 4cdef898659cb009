import type { MetricsEngine, RetentionClass } from './metrics-engine.ts'
import { RETENTION_DAYS } from './retention.ts'
import {
  HEAP_BYTES,
  NEWEST_POINT_BYTES,
  PAGE_BYTES,
  POINTS_PER_BATCH,
  REMEMBERED_SERIES_BYTES,
  SERIES_BYTES,
  STORAGE_COSTS,
} from './storage-costs.ts'
import { COMPRESS_AFTER_MICROS, fittingHours, SMALLEST_BYTES } from './timescale-compression.ts'

/** What is going to be stored. */
export interface ExpectedMetrics {
  readonly series: number
  /** From one point of a series to the next. */
  readonly everySeconds: number
  readonly retention: RetentionClass
  /** Length of a metric with its tags; 70 where nobody knows. */
  readonly nameBytes?: number
}

/** Bytes on disk at one moment. */
export interface DiskEstimate {
  readonly points: number
  readonly rollUps: number
  readonly names: number
  readonly total: number
  /** What it would be if nothing were compressed. */
  readonly uncompressed: number
}

export interface MetricsEstimate {
  readonly engine: MetricsEngine['name']
  readonly series: number
  readonly pointsPerDay: number
  readonly rollUpRowsPerDay: number
  readonly disk: {
    readonly day: DiskEstimate
    readonly month: DiskEstimate
    /** When as much goes as comes; after a year where points are kept forever. */
    readonly full: DiskEstimate
    readonly fullAfterDays: number
    /** Whether it goes on growing after that. */
    readonly grows: boolean
  }
  readonly memory: {
    /** Of the server of the product. */
    readonly rememberedSeries: number
    /** Of the database: names, newest points, and pages that are being written. */
    readonly catalogue: number
    readonly newestPoints: number
    readonly hotPages: number
    readonly sharedBuffers: number
  }
  /** The figures behind it, by what they are of. */
  readonly figures: readonly { readonly name: string; readonly bytes: number; readonly source: string }[]
}

const DAY_SECONDS = 86_400
const USUAL_NAME_BYTES = 70

/** What the server of the database needs beside points: its own catalogue, the queue, the core. */
const OTHER_BUFFERS = 64 * 1024 * 1024

/** Expired points go with all of their partition, which is a month wide for a year and a day otherwise. */
const OVERDUE_DAYS: Readonly<Record<RetentionClass, number>> = { forever: 0, year: 31, month: 1, week: 1 }

/** Says what metrics will take, from constants that were measured; pure. */
export function estimateMetrics(expected: ExpectedMetrics, engine: MetricsEngine['name']): MetricsEstimate {
  const { series, everySeconds, retention } = expected
  const costs = STORAGE_COSTS[engine]
  const perSeries = DAY_SECONDS / everySeconds
  const fullAfterDays = retention === 'forever' ? 365 : RETENTION_DAYS[retention] + OVERDUE_DAYS[retention]
  const after = (days: number): DiskEstimate => diskAfter(expected, engine, days)
  const catalogue = series * namesBytes(expected)
  const newestPoints = series * NEWEST_POINT_BYTES.bytes
  const hotDays = engine === 'timescale' ? uncompressedDays(expected) : 31
  const hotPages = Math.min(series * 2 * PAGE_BYTES, series * perSeries * hotDays * costs.point.bytes)
  return {
    engine,
    series,
    pointsPerDay: Math.round(series * perSeries),
    rollUpRowsPerDay: Math.round(series * (Math.min(24, perSeries) + Math.min(1, perSeries))),
    disk: {
      day: after(1),
      month: after(Math.min(30, fullAfterDays)),
      full: after(fullAfterDays),
      fullAfterDays,
      grows: retention === 'forever',
    },
    memory: {
      rememberedSeries: Math.round(series * REMEMBERED_SERIES_BYTES.bytes),
      catalogue: Math.round(catalogue),
      newestPoints: Math.round(newestPoints),
      hotPages: Math.round(hotPages),
      sharedBuffers: Math.round(OTHER_BUFFERS + catalogue + newestPoints + hotPages),
    },
    figures: [
      { name: 'a point', ...costs.point },
      ...(engine === 'timescale'
        ? [
            { name: 'a compressed point', ...costs.compressedPoint },
            {
              name: `up to ${POINTS_PER_BATCH} compressed points of a series, beside them`,
              ...costs.compressedBatch,
            },
          ]
        : []),
      { name: 'an hour or a day of a series in roll-ups', ...costs.rollUp },
      { name: 'a series, beside its name', ...SERIES_BYTES },
      { name: 'the newest point of a series', ...NEWEST_POINT_BYTES },
      { name: 'a series that is remembered', ...REMEMBERED_SERIES_BYTES },
    ],
  }
}

function diskAfter(expected: ExpectedMetrics, engine: MetricsEngine['name'], days: number): DiskEstimate {
  const { series, everySeconds } = expected
  const costs = STORAGE_COSTS[engine]
  const perDay = DAY_SECONDS / everySeconds
  const points = series * perDay * days
  const uncompressed = points * costs.point.bytes
  const rollUps = series * (Math.min(24, perDay) + Math.min(1, perDay)) * days * costs.rollUp.bytes
  const names = series * (namesBytes(expected) + NEWEST_POINT_BYTES.bytes)
  const settled = engine === 'timescale' ? compressedAfter(expected, days) : uncompressed
  const rounded = { points: Math.round(settled), rollUps: Math.round(rollUps), names: Math.round(names) }
  const { points: stored } = rounded
  return {
    ...rounded,
    total: stored + rounded.rollUps + rounded.names,
    uncompressed: Math.round(uncompressed) + rounded.rollUps + rounded.names,
  }
}

/** What is older than the chunk that is being written is compressed, but for chunks that would become larger by it. */
function compressedAfter(expected: ExpectedMetrics, days: number): number {
  const { series, everySeconds } = expected
  const { point, compressedPoint, compressedBatch } = STORAGE_COSTS.timescale
  const open = Math.min(days, uncompressedDays(expected))
  const perDay = (series * DAY_SECONDS) / everySeconds
  const chunkDays = chunkHours(expected) / 24
  const perChunk = (DAY_SECONDS / everySeconds) * chunkDays
  const batches = Math.ceil(perChunk / POINTS_PER_BATCH) * Math.min(1, perChunk)
  const isSmall = series * perChunk * HEAP_BYTES < SMALLEST_BYTES
  const chunk = isSmall
    ? series * perChunk * point.bytes
    : series * (perChunk * compressedPoint.bytes + batches * compressedBatch.bytes)
  return perDay * open * point.bytes + ((days - open) / chunkDays) * chunk
}

/** How much lies in chunks that are still open, at most: one of them, and as long as one waits after its end. */
function uncompressedDays(expected: ExpectedMetrics): number {
  return chunkHours(expected) / 24 + COMPRESS_AFTER_MICROS / 1e6 / DAY_SECONDS
}

function chunkHours({ series, everySeconds, retention }: ExpectedMetrics): number {
  return fittingHours(retention, (series * 3600) / everySeconds)
}

/** The name stands in the table and in two of its indexes, in one of them as a digest. */
function namesBytes({ nameBytes = USUAL_NAME_BYTES }: ExpectedMetrics): number {
  return SERIES_BYTES.bytes + 2 * nameBytes
}
