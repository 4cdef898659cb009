import { createHash } from 'node:crypto'

/** One job that measures itself, as the ADR has it. */
export interface Job {
  /** UUID. */
  readonly id: string
  readonly host: string
  readonly region: string
  /** Its measurements lie so long after the start of each step. */
  readonly phaseMs: number
}

export interface WorkloadSize {
  readonly pointsPerSeries: number
  readonly stepMs: number
}

/** Points in columns, ascending by time; `series` counts job by job, metric by metric. */
export interface PointColumns {
  readonly series: Uint32Array
  readonly timesMs: Float64Array
  readonly values: Float64Array
}

const JOBS = 100
const HOSTS = 20
const REGIONS = ['eu-north', 'eu-west', 'us-east', 'ap-south']
/** A moment in the afternoon: ranges that end here begin and end within a day, as they do on dashboards. */
const END_MS = Date.UTC(2026, 5, 10, 15)
const DAY_MS = 86_400_000

type Measure = (job: number, season: number, dice: Dice) => number

/**
 * What jobs measure: counts and sizes in whole numbers, times and shares rounded as collectors round them, and means and
 * scores with all their digits. `season` runs from -1 to 1 over a day.
 */
const MEASURES: Readonly<Record<string, Measure>> = {
  anomalies: (job, _season, { uniform }) =>
    uniform() < 0.03 + (job % 17) / 250 ? 1 + Math.floor(uniform() * 4) : 0,
  points_scanned: (job, season, { normal }) => Math.round(5_000 + job * 40 + 900 * season + 120 * normal()),
  queue_depth: (_job, season, { normal }) => Math.max(0, Math.round(4 + 3 * season + 1.5 * normal())),
  errors: (_job, _season, { uniform }) => (uniform() < 0.01 ? 1 : 0),
  duration_ms: (job, season, { normal }) =>
    Math.round(10 * (180 + job + 35 * season) * Math.exp(0.2 * normal())) / 10,
  cpu_percent: (job, season, { normal }) =>
    Math.round(10 * Math.min(100, Math.max(0, 35 + (job % 30) + 15 * season + 4 * normal()))) / 10,
  memory_mb: (job, season, { normal }) =>
    Math.round(100 * (512 + job * 3 + 20 * season + 2 * normal())) / 100,
  score_mean: (job, season, { normal }) => 0.2 + job / 2_000 + 0.03 * season + 0.01 * normal(),
  score_max: (_job, _season, { uniform }) => 1 - 0.4 * uniform() ** 2,
  latency_mean_ms: (job, season, { normal }) => (12 + (job % 9)) * Math.exp(0.1 * season + 0.15 * normal()),
}

/**
 * The seeded data that every side stores: jobs on hosts, ten metrics each, at a steady step. What is measured at an
 * instant depends on the seed and the instant alone, so that a longer workload ends in the points of a shorter one.
 */
export class Workload {
  readonly jobs: readonly Job[]
  readonly metrics = Object.keys(MEASURES)
  /** Points lie in `[startMs, endMs)`. */
  readonly startMs: number
  readonly endMs = END_MS
  readonly points: number
  readonly #size: WorkloadSize

  constructor(size: WorkloadSize) {
    this.#size = size
    this.startMs = END_MS - size.pointsPerSeries * size.stepMs
    this.points = JOBS * this.metrics.length * size.pointsPerSeries
    this.jobs = Array.from({ length: JOBS }, (_, job) => ({
      id: uuidOf(`job ${job}`),
      host: `host-${String(job % HOSTS).padStart(2, '0')}`,
      region: REGIONS[(job % HOSTS) % REGIONS.length]!,
      phaseMs: Math.floor((job * size.stepMs) / JOBS / 1000) * 1000,
    }))
  }

  get series(): number {
    return this.jobs.length * this.metrics.length
  }

  jobOf(series: number): Job {
    return this.jobs[Math.floor(series / this.metrics.length)]!
  }

  metricOf(series: number): string {
    return this.metrics[series % this.metrics.length]!
  }

  /** All points in order of time, so many instants of every series at once; of the points before `beforeMs` only. */
  *batches(instantsAtOnce: number, beforeMs: number = Infinity): Generator<PointColumns, void, void> {
    const { stepMs } = this.#size
    const last = Math.min(END_MS, beforeMs)
    for (let from = this.startMs; from < last; from += instantsAtOnce * stepMs)
      yield this.#columns(from, Math.min(last, from + instantsAtOnce * stepMs))
  }

  #columns(fromMs: number, toMs: number): PointColumns {
    const { stepMs } = this.#size
    const count = Math.ceil((toMs - fromMs) / stepMs) * this.series
    const columns = {
      series: new Uint32Array(count),
      timesMs: new Float64Array(count),
      values: new Float64Array(count),
    }
    const measures = Object.values(MEASURES)
    let at = 0
    for (let instant = fromMs; instant < toMs; instant += stepMs) {
      const dice = diceOf(instant / 1000)
      const season = Math.sin((2 * Math.PI * (instant % DAY_MS)) / DAY_MS)
      for (const [job, { phaseMs }] of this.jobs.entries())
        for (const measure of measures) {
          columns.series[at] = at % this.series
          columns.timesMs[at] = instant + phaseMs
          columns.values[at] = measure(job, season, dice)
          at++
        }
    }
    return columns
  }
}

interface Dice {
  /** From 0 to below 1. */
  uniform(): number
  /** With mean 0 and deviation 1, nearly normal. */
  normal(): number
}

/** Mulberry32 (Tommy Ettinger, 2017). */
function diceOf(seed: number): Dice {
  let state = Math.imul(seed, 0x9e3779b1)
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  return { uniform, normal: () => (uniform() + uniform() + uniform() + uniform() - 2) * Math.sqrt(3) }
}

function uuidOf(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
