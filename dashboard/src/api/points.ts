import { answer, api } from './client.ts'

/** Points of one series in columns, ascending in time. Values that are no numbers are `NaN` or infinite. */
export interface PointColumns {
  readonly timesMs: Float64Array
  readonly values: Float64Array
  /** Whether older points exist that did not fit into the answer. */
  readonly truncated: boolean
}

/** What would have been normal, in columns; `NaN` where the detector was still learning. */
export interface BandColumns {
  readonly timesMs: Float64Array
  readonly expected: Float64Array
  readonly lower: Float64Array
  readonly upper: Float64Array
  readonly detector: { algorithm: string; reason: string } | null
}

/** Most points one request answers with. */
export const MOST_POINTS = 200_000

/** Reads the newest points of a series in a range. */
export async function readPoints(
  id: number,
  range: { fromMs?: number; toMs?: number; limit?: number },
  signal?: AbortSignal,
): Promise<PointColumns> {
  const query = {
    limit: range.limit ?? MOST_POINTS,
    ...(range.fromMs === undefined ? {} : { from: isoTime(range.fromMs) }),
    ...(range.toMs === undefined ? {} : { to: isoTime(range.toMs) }),
  }
  const body = await answer(
    api.GET('/v1/series/{id}/points', {
      params: { path: { id }, query },
      ...(signal === undefined ? {} : { signal }),
    }),
  )
  return {
    timesMs: Float64Array.from(body.timesMs),
    // Number('NaN'), Number('Infinity') and Number('-Infinity') are what the API means by these strings.
    values: Float64Array.from(body.values, Number),
    truncated: body.truncated,
  }
}

/** Reads the expected band of a series as a job sees it. */
export async function readBand(
  id: number,
  jobId: string,
  range: { fromMs: number; toMs: number },
  signal: AbortSignal,
): Promise<BandColumns> {
  const query = { jobId, from: isoTime(range.fromMs), to: isoTime(range.toMs) }
  const body = await answer(api.GET('/v1/series/{id}/band', { params: { path: { id }, query }, signal }))
  const column = (values: (number | string | null)[]): Float64Array =>
    Float64Array.from(values, (value) => (value === null ? Number.NaN : Number(value)))
  return {
    timesMs: Float64Array.from(body.timesMs),
    expected: column(body.expected),
    lower: column(body.lower),
    upper: column(body.upper),
    detector: body.detector,
  }
}

/** Replaces everything from the first new instant on, so that reading a tail twice does no harm. */
export function withTail(points: PointColumns, tail: PointColumns): PointColumns {
  const first = tail.timesMs[0]
  if (first === undefined) return points
  let keep = points.timesMs.length
  while (keep > 0 && (points.timesMs[keep - 1] as number) >= first) keep--
  const timesMs = new Float64Array(keep + tail.timesMs.length)
  const values = new Float64Array(timesMs.length)
  timesMs.set(points.timesMs.subarray(0, keep))
  timesMs.set(tail.timesMs, keep)
  values.set(points.values.subarray(0, keep))
  values.set(tail.values, keep)
  return { timesMs, values, truncated: points.truncated }
}

function isoTime(ms: number): string {
  return new Date(Math.floor(ms)).toISOString()
}
