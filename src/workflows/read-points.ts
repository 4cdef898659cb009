import type { ColumnPlan } from '../ingestion/column-plan.ts'
import { decompressed } from '../ingestion/decompressed.ts'
import { parsePoints } from '../ingestion/parse-points.ts'
import type { ParsedChunk, ParseOptions, PointFormat, RejectedLine } from '../ingestion/parsed-points.ts'
import { NomalyError } from '../errors.ts'
import type { PointBatch, SeriesKey } from '../metrics/metrics-engine.ts'
import { explodingField } from '../metrics/series-limit.ts'

export interface ReadPointsOptions extends ParseOptions {
  readonly encoding: 'gzip' | 'identity'
  /** Bytes after decompression. */
  readonly maxBytes: number
  readonly maxPoints: number
  /** Told of the bytes after decompression, as they come. */
  readonly onBytes?: (bytes: Uint8Array) => void
  readonly maxSeries: number
  /** Asked before so many bytes are held in all; what it answers is waited for, and nothing is read meanwhile. */
  readonly hold?: (bytes: number) => Promise<void> | undefined
}

/** What a point is counted as: its place in the columns here and in those that are made of them, until it is stored. */
export const POINT_BYTES = 100

/** All points of one input, in columns, and what was refused of it. */
export interface ReadPoints extends Omit<PointBatch, 'source'> {
  /** Line of the input each point stands on. */
  readonly lines: Uint32Array
  readonly rejected: readonly RejectedLine[]
  readonly rejectedTotal: number
  /** How CSV columns were understood. */
  readonly columns: ColumnPlan | undefined
}

/**
 * Reads a whole input before anything of it is stored, so that an error anywhere leaves nothing behind.
 * @throws NomalyError `too_large` beyond a limit, `invalid_input` where it cannot be read at all.
 */
export async function readPoints(
  format: PointFormat,
  input: AsyncIterable<Uint8Array>,
  options: ReadPointsOptions,
): Promise<ReadPoints> {
  const chunks: ParsedChunk[] = []
  let total = 0
  let totalBytes = 0
  // By its text too: names of series are as long as one likes.
  const hold = async (): Promise<void> => options.hold?.(Math.max(totalBytes, total * POINT_BYTES))
  const bytes = passedBy(
    decompressed(input, { encoding: options.encoding, maxBytes: options.maxBytes }),
    async (piece) => {
      options.onBytes?.(piece)
      totalBytes += piece.length
      await hold()
    },
  )
  for await (const chunk of parsePoints(format, bytes, options)) {
    chunks.push(chunk)
    total += chunk.points.timesMs.length
    await hold()
    if (total > options.maxPoints)
      throw tooMany(
        'points',
        options.maxPoints,
        'Send them in several requests: repeating a part does no harm.',
      )
    if (chunk.points.keys.length > options.maxSeries)
      throw tooMany('series', options.maxSeries, explodingHint(chunk.points.keys))
  }
  return joinChunks(chunks, total)
}

/** Bytes as they are, each piece after `pass` let it. */
async function* passedBy(
  input: AsyncIterable<Uint8Array>,
  pass: (piece: Uint8Array) => Promise<void>,
): AsyncGenerator<Uint8Array> {
  for await (const bytes of input) {
    await pass(bytes)
    yield bytes
  }
}

function joinChunks(chunks: readonly ParsedChunk[], total: number): ReadPoints {
  const [only] = chunks
  if (only !== undefined && chunks.length === 1)
    return {
      ...only.points,
      rejected: only.rejected,
      rejectedTotal: only.rejectedTotal,
      columns: only.columns,
    }
  const indexOf = new Map<SeriesKey, number>()
  const joined = {
    keys: [] as SeriesKey[],
    series: new Uint32Array(total),
    timesMs: new Float64Array(total),
    values: new Float64Array(total),
    lines: new Uint32Array(total),
  }
  let offset = 0
  for (const { points } of chunks) {
    const indexes = points.keys.map((key) => {
      const known = indexOf.get(key)
      if (known !== undefined) return known
      indexOf.set(key, joined.keys.length)
      return joined.keys.push(key) - 1
    })
    for (let i = 0; i < points.series.length; i++) joined.series[offset + i] = indexes[points.series[i]!]!
    joined.timesMs.set(points.timesMs, offset)
    joined.values.set(points.values, offset)
    joined.lines.set(points.lines, offset)
    offset += points.series.length
  }
  return {
    ...joined,
    rejected: chunks.flatMap(({ rejected }) => rejected),
    rejectedTotal: chunks.reduce((sum, { rejectedTotal }) => sum + rejectedTotal, 0),
    columns: chunks[0]?.columns,
  }
}

function tooMany(what: string, limit: number, hint: string): NomalyError {
  return new NomalyError('too_large', `The request holds more than ${limit.toLocaleString('en')} ${what}.`, {
    hint,
    problems: [{ field: 'body', reason: `at most ${limit} ${what} in one request` }],
  })
}

/** Names what has the most distinct values: it makes the series explode. */
function explodingHint(keys: readonly SeriesKey[]): string {
  const { field, values } = explodingField(keys)
  return field === 'metric'
    ? 'Use fewer metric names, or send them in several requests.'
    : `The tag "${field.slice('tags.'.length)}" has ${values.toLocaleString('en')} values here; leave it out, or send fewer series at once.`
}
