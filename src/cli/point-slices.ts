import type { ParsedPoints } from '../ingestion/parsed-points.ts'

/** A part of a chunk, as NDJSON for the API; point `i` of the body is point `from + i` of the chunk. */
export interface PointSlice {
  readonly body: Uint8Array
  readonly from: number
  readonly points: number
}

/** Writes points as NDJSON in slices that stay below a number of bytes. */
export function* pointSlices(points: ParsedPoints, maxBytes: number): Generator<PointSlice> {
  let lines: string[] = []
  let bytes = 0
  let from = 0
  const slice = (): PointSlice => ({ body: Buffer.from(lines.join('')), from, points: lines.length })
  let at = -1
  for (const line of pointLines(points)) {
    at += 1
    // Three bytes are the most a UTF-16 unit takes in UTF-8.
    if (lines.length > 0 && bytes + line.length * 3 > maxBytes) {
      yield slice()
      from = at
      lines = []
      bytes = 0
    }
    lines.push(line)
    bytes += line.length * 3
  }
  if (lines.length > 0) yield slice()
}

/** Points as lines of NDJSON. */
export function* pointLines({
  keys,
  series,
  timesMs,
  values,
}: Omit<ParsedPoints, 'lines'>): Generator<string, void, void> {
  const heads = keys.map(({ metric, tags }) => {
    const named = `"metric":${JSON.stringify(metric)}`
    return Object.keys(tags).length === 0 ? named : `${named},"tags":${JSON.stringify(tags)}`
  })
  for (let at = 0; at < timesMs.length; at += 1) {
    const value = values[at]!
    yield `{"time":${timeText(timesMs[at]!)},${heads[series[at]!]!},"value":${
      Number.isFinite(value) ? value : `"${value}"`
    }}\n`
  }
}

const FIRST_MS_BY_SIZE = 1e11

/** Milliseconds as number; ISO 8601 where their size would be taken for seconds, or a fraction of a millisecond matters. */
function timeText(ms: number): string {
  if (ms >= FIRST_MS_BY_SIZE && Number.isInteger(ms)) return String(ms)
  const whole = Math.floor(ms)
  const micros = Math.round((ms - whole) * 1000)
  const iso = new Date(micros === 1000 ? whole + 1 : whole).toISOString().slice(0, -1)
  return `"${iso}${String(micros % 1000).padStart(3, '0')}Z"`
}
