import type { ColumnPlan } from '../../src/ingestion/column-plan.ts'
import { parsePoints } from '../../src/ingestion/parse-points.ts'
import type { ParseOptions, PointFormat, RejectedLine } from '../../src/ingestion/parsed-points.ts'

export interface ReadPoint {
  readonly line: number
  readonly time: string
  readonly metric: string
  readonly tags: Record<string, string>
  readonly value: number
}

export interface ReadResult {
  readonly points: ReadPoint[]
  readonly rejected: RejectedLine[]
  readonly rejectedTotal: number
  readonly columns: ColumnPlan | undefined
}

/** Bytes in pieces of the sizes given, again and again; each piece a buffer of its own that is wiped afterwards. */
export async function* inPieces(
  data: string | Uint8Array,
  sizes: readonly number[] = [],
): AsyncGenerator<Uint8Array> {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data
  let start = 0
  for (let piece = 0; start < bytes.length; piece += 1) {
    const size = sizes[piece % Math.max(1, sizes.length)] ?? bytes.length
    const copy = Uint8Array.from(bytes.subarray(start, start + size))
    yield copy
    copy.fill(0x21)
    start += size
  }
}

/** Everything that is read from some data. */
export async function readPoints(
  format: PointFormat,
  data: string | Uint8Array,
  options: ParseOptions & { readonly pieces?: readonly number[] } = {},
): Promise<ReadResult> {
  const points: ReadPoint[] = []
  const rejected: RejectedLine[] = []
  let rejectedTotal = 0
  let columns: ColumnPlan | undefined
  for await (const chunk of parsePoints(format, inPieces(data, options.pieces), options)) {
    const { keys, series, timesMs, values, lines } = chunk.points
    for (let at = 0; at < timesMs.length; at += 1) {
      const { metric, tags } = keys[series[at]!]!
      points.push({
        line: lines[at]!,
        time: new Date(timesMs[at]!).toISOString(),
        metric,
        tags,
        value: values[at]!,
      })
    }
    rejected.push(...chunk.rejected)
    rejectedTotal += chunk.rejectedTotal
    columns = chunk.columns
  }
  return { points, rejected, rejectedTotal, columns }
}
