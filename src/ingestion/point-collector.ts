import { NomalyError } from '../errors.ts'
import { POINT_LIMITS, type SeriesKey } from '../metrics/metrics-engine.ts'
import { CHUNK_POINTS, type ParsedChunk, type ParseOptions, type RejectedLine } from './parsed-points.ts'
import { parseTime } from './parse-time.ts'
import { describe, SeriesTable, shorten } from './series-table.ts'

/** Room that columns begin with, and by what it is multiplied when it is used up. */
const FEW_POINTS = 100
const GROWTH = 10

/** Lines that are no JSON, before it is asked whether most are. */
const MAX_BROKEN = 10_000
const TIME_EXPECTED = 'expected ISO 8601 (2026-01-31T12:00:00Z) or a number since 1970 in s, ms, µs or ns'
const WORDS: Readonly<Record<string, number>> = { NaN: Number.NaN, Infinity, '-Infinity': -Infinity }

/** Gathers points and refusals of one input into chunks. */
export class PointCollector {
  readonly table: SeriesTable
  // They grow, and go into the chunk as they are: most inputs have few points, and what is copied is held twice.
  #series = new Uint32Array(0)
  #times = new Float64Array(0)
  #values = new Float64Array(0)
  #lines = new Uint32Array(0)
  #firstRoom = FEW_POINTS
  #size = 0
  #rejected: RejectedLine[] = []
  #rejectedTotal = 0
  #mayList: number
  #broken = 0

  constructor(options: Pick<ParseOptions, 'maxRejectedListed' | 'maxSeries'> = {}) {
    this.table = new SeriesTable(options.maxSeries)
    this.#mayList = options.maxRejectedListed ?? 100
  }

  /** The chunk must be taken before another point is added. */
  get full(): boolean {
    return this.#size === CHUNK_POINTS
  }

  /** There is something to take. */
  get pending(): boolean {
    return this.#size > 0 || this.#rejectedTotal > 0
  }

  reject(line: number, reason: string): void {
    this.#rejectedTotal += 1
    if (this.#mayList === 0) return
    this.#mayList -= 1
    this.#rejected.push({ line, reason })
  }

  /**
   * Refuses what is no JSON. Throws `invalid_input` when nearly all of a long input is none: each costs microseconds, and
   * whoever sent it is better told at once.
   */
  rejectBroken(line: number, error: unknown): void {
    this.#broken += 1
    if (this.#broken > MAX_BROKEN && this.#broken * 2 > line) {
      const reason = `${this.#broken.toLocaleString('en')} of the first ${line.toLocaleString('en')} are not JSON`
      throw new NomalyError('invalid_input', `These are hardly lines of JSON: ${reason}.`, {
        hint: 'Say which format it is: NDJSON, JSON or CSV.',
        problems: [{ field: 'body', reason }],
      })
    }
    this.reject(line, `point: not valid JSON (${syntaxProblem(error)})`)
  }

  /** Adds a point whose parts are known to be good. */
  push(series: number, timeMs: number, value: number, line: number): void {
    const at = this.#size
    if (at === this.#series.length) this.#grow()
    this.#series[at] = series
    this.#times[at] = timeMs
    this.#values[at] = value
    this.#lines[at] = line
    this.#size = at + 1
  }

  /** Adds one JSON point, or refuses it. */
  addRecord(record: unknown, line: number): void {
    if (typeof record !== 'object' || record === null || Array.isArray(record)) {
      this.reject(
        line,
        `point: expected an object like {"time":…,"metric":…,"value":…}, found ${describe(record)}`,
      )
      return
    }
    const point = record as Record<string, unknown>
    const time = point.time ?? point.timestamp ?? point.ts
    const timeMs = parseTime(time)
    if (!(timeMs >= POINT_LIMITS.minTimeMs && timeMs <= POINT_LIMITS.maxTimeMs)) {
      this.reject(line, timeProblem(time, timeMs))
      return
    }
    let value = point.value
    if (typeof value === 'number') {
      if (!(Math.abs(value) <= POINT_LIMITS.maxAbsoluteValue)) {
        this.reject(line, valueTooLarge('value'))
        return
      }
    } else {
      const word = typeof value === 'string' && Object.hasOwn(WORDS, value) ? WORDS[value] : undefined
      if (word === undefined) {
        this.reject(
          line,
          `value: expected a number, "NaN", "Infinity" or "-Infinity", found ${describe(value)}`,
        )
        return
      }
      value = word
    }
    const series = this.table.find(point.metric ?? 'value', point.tags)
    if (typeof series === 'string') this.reject(line, series)
    else this.push(series, timeMs, value as number, line)
  }

  /** What was gathered since the last call; keys are only those of this chunk. */
  take(): ParsedChunk {
    const keys: SeriesKey[] = []
    const size = this.#size
    const series = this.#series.subarray(0, size)
    const local = new Map<number, number>()
    let last = -1
    let lastLocal = -1
    for (let at = 0; at < size; at += 1) {
      const index = series[at]!
      if (index !== last) {
        let here = local.get(index)
        if (here === undefined) {
          here = keys.push(this.table.keys[index]!) - 1
          local.set(index, here)
        }
        last = index
        lastLocal = here
      }
      series[at] = lastLocal
    }
    const chunk = {
      points: {
        keys,
        series,
        timesMs: this.#times.subarray(0, size),
        values: this.#values.subarray(0, size),
        lines: this.#lines.subarray(0, size),
      },
      rejected: this.#rejected,
      rejectedTotal: this.#rejectedTotal,
    }
    // The next chunk, if there is one, will hardly be smaller.
    if (size === CHUNK_POINTS) this.#firstRoom = CHUNK_POINTS
    this.#makeRoom(0)
    this.#size = 0
    this.#rejected = []
    this.#rejectedTotal = 0
    return chunk
  }

  #grow(): void {
    const { length } = this.#series
    const before = [this.#series, this.#times, this.#values, this.#lines] as const
    this.#makeRoom(length === 0 ? this.#firstRoom : Math.min(CHUNK_POINTS, length * GROWTH))
    this.#series.set(before[0])
    this.#times.set(before[1])
    this.#values.set(before[2])
    this.#lines.set(before[3])
  }

  #makeRoom(length: number): void {
    this.#series = new Uint32Array(length)
    this.#times = new Float64Array(length)
    this.#values = new Float64Array(length)
    this.#lines = new Uint32Array(length)
  }
}

/** What the JSON parser objects to, without the text it quotes. */
function syntaxProblem(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  const problem = message.replace(/, ".*$/s, '').replace(/ in JSON/, '')
  return /end of (JSON )?input|Unterminated/.test(problem) ? 'it ends too early' : shorten(problem)
}

/** Why a value beyond the limit is refused. */
export function valueTooLarge(field: string): string {
  return `${field}: beyond ±${POINT_LIMITS.maxAbsoluteValue}, such values would overflow sums`
}

/** Why a time is refused: missing, unreadable, or out of range. */
export function timeProblem(time: unknown, timeMs: number): string {
  if (time === undefined || time === null) return `time: missing, ${TIME_EXPECTED}`
  if (Number.isNaN(timeMs)) return `time: ${describe(time)} is not a time, ${TIME_EXPECTED}`
  return `time: ${describe(time)} is outside 1970-01-01 to 2100-01-01`
}
