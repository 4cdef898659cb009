import type { SeriesKey } from '../metrics/metrics-engine.ts'

/** Something that went wrong in the made-up shop, and where it shows. */
export interface DemoIncident {
  readonly metric: string
  readonly tags: Readonly<Record<string, string>>
  readonly fromMs: number
  readonly toMs: number
  readonly what: string
}

export interface DemoData {
  readonly keys: readonly SeriesKey[]
  readonly series: Uint32Array
  readonly timesMs: Float64Array
  readonly values: Float64Array
  readonly incidents: readonly DemoIncident[]
}

const STEP_MS = 300_000
const DAY_MS = 86_400_000
const WEEKS = 4
/** Points of each series: one every five minutes for four weeks. */
export const DEMO_POINTS_PER_SERIES = (WEEKS * 7 * DAY_MS) / STEP_MS

interface DemoMetric extends SeriesKey {
  /** The value when all is well. */
  readonly normal: (hour: number, weekday: number, noise: () => number) => number
  readonly incidents: readonly {
    /** The last time it was this hour (UTC), at least so many days before the end. */
    readonly daysBeforeEnd: number
    readonly atHour: number
    readonly minutes: number
    readonly what: string
    readonly effect: (value: number, progress: number) => number
  }[]
}

/** A working day: quiet at night, a peak at noon and a higher one in the evening. */
function rhythm(hour: number): number {
  const peak = (centre: number, width: number): number => Math.exp(-(((hour - centre) / width) ** 2))
  return 0.15 + 0.6 * peak(12.5, 3.5) + 0.85 * peak(20, 2.5)
}

const weekend = (weekday: number): number => (weekday === 0 || weekday === 6 ? 1.25 : 1)

const METRICS: readonly DemoMetric[] = [
  {
    metric: 'orders_per_minute',
    tags: { region: 'eu' },
    normal: (hour, weekday, noise) =>
      Math.max(0, 120 * rhythm(hour) * weekend(weekday) * (1 + 0.07 * noise())),
    incidents: [
      {
        daysBeforeEnd: 6,
        atHour: 19.5,
        minutes: 45,
        what: 'The payment provider was down: almost no orders.',
        effect: (value) => value * 0.06,
      },
      {
        daysBeforeEnd: 0.5,
        atHour: 20,
        minutes: 60,
        what: 'A broken release: most of the orders were lost.',
        effect: (value) => value * 0.3,
      },
    ],
  },
  {
    metric: 'orders_per_minute',
    tags: { region: 'us' },
    normal: (hour, weekday, noise) =>
      Math.max(0, 90 * rhythm((hour + 17) % 24) * weekend(weekday) * (1 + 0.08 * noise())),
    incidents: [
      {
        daysBeforeEnd: 3,
        atHour: 2,
        minutes: 90,
        what: 'A price error went round on social media: far more orders than usual.',
        effect: (value) => value * 2.6 + 40,
      },
    ],
  },
  {
    metric: 'checkout_latency_ms',
    tags: { service: 'checkout' },
    normal: (hour, _weekday, noise) => 180 + 60 * rhythm(hour) + 9 * noise(),
    incidents: [
      {
        daysBeforeEnd: 9,
        atHour: 11,
        minutes: 120,
        what: 'A missing index: the checkout became slower and slower.',
        effect: (value, progress) => value * (1.3 + 1.6 * progress),
      },
    ],
  },
  {
    metric: 'failed_logins',
    tags: { service: 'accounts' },
    normal: (hour, _weekday, noise) => Math.max(0, Math.round(6 * rhythm(hour) + 2 + 1.3 * noise())),
    incidents: [
      {
        daysBeforeEnd: 2,
        atHour: 4,
        minutes: 30,
        what: 'Somebody tried stolen passwords.',
        effect: (value) => value * 9 + 35,
      },
    ],
  },
  {
    metric: 'queue_depth',
    tags: { queue: 'emails' },
    normal: (_hour, _weekday, noise) => Math.max(0, Math.round(24 + 5 * noise())),
    incidents: [
      {
        daysBeforeEnd: 4,
        atHour: 16,
        minutes: 150,
        what: 'The mail worker had stopped: the queue grew until it was started again.',
        effect: (value, progress) => value + 400 * progress,
      },
    ],
  },
]

/** Four weeks of a made-up shop's metrics up to `endMs`, with incidents in it; the same for the same end. */
export function generateDemo(endMs: number): DemoData {
  const startMs = endMs - DEMO_POINTS_PER_SERIES * STEP_MS
  const total = METRICS.length * DEMO_POINTS_PER_SERIES
  const series = new Uint32Array(total)
  const timesMs = new Float64Array(total)
  const values = new Float64Array(total)
  METRICS.forEach((metric, index) => {
    const noise = normalNoise(index + 1)
    for (let step = 0; step < DEMO_POINTS_PER_SERIES; step++) {
      const at = index * DEMO_POINTS_PER_SERIES + step
      const timeMs = startMs + step * STEP_MS
      series[at] = index
      timesMs[at] = timeMs
      values[at] = valueAt(metric, timeMs, endMs, noise)
    }
  })
  const incidents = METRICS.flatMap(({ metric, tags, incidents: all }) =>
    all.map(({ daysBeforeEnd, atHour, minutes, what }) => {
      const fromMs = incidentStart(endMs, daysBeforeEnd, atHour)
      return { metric, tags, fromMs, toMs: fromMs + minutes * 60_000, what }
    }),
  )
  return { keys: METRICS.map(({ metric, tags }) => ({ metric, tags })), series, timesMs, values, incidents }
}

function valueAt(metric: DemoMetric, timeMs: number, endMs: number, noise: () => number): number {
  const date = new Date(timeMs)
  const value = metric.normal(date.getUTCHours() + date.getUTCMinutes() / 60, date.getUTCDay(), noise)
  for (const { daysBeforeEnd, atHour, minutes, effect } of metric.incidents) {
    const progress = (timeMs - incidentStart(endMs, daysBeforeEnd, atHour)) / (minutes * 60_000)
    if (progress >= 0 && progress < 1) return round(effect(value, progress))
  }
  return round(value)
}

function incidentStart(endMs: number, daysBeforeEnd: number, atHour: number): number {
  const latestMs = endMs - daysBeforeEnd * DAY_MS
  const hourMs = atHour * 3_600_000
  return Math.floor((latestMs - hourMs) / DAY_MS) * DAY_MS + hourMs
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

/** Standard normal noise from a seed: mulberry32 and Box–Muller. */
function normalNoise(seed: number): () => number {
  let state = seed * 0x9e3779b9
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
}
