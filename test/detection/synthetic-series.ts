import { uniform } from '../support/random.ts'

/** A series made from a seed. */
export interface SyntheticSeries {
  readonly timesMs: Float64Array
  readonly values: Float64Array
}

/** Standard normal numbers from a seed (Box and Muller). */
export function normal(seed: number): () => number {
  const next = uniform(seed)
  return () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
}

export const MINUTE_MS = 60_000
export const HOUR_MS = 3_600_000
export const DAY_MS = 86_400_000
const START_MS = Date.UTC(2025, 2, 3)

/** `days` of points every `stepMs`, each from its time and number. */
export function generate(
  days: number,
  stepMs: number,
  value: (timeMs: number, i: number) => number,
): SyntheticSeries {
  const length = Math.floor((days * DAY_MS) / stepMs)
  const timesMs = Float64Array.from({ length }, (_, i) => START_MS + i * stepMs)
  return { timesMs, values: timesMs.map((timeMs, i) => value(timeMs, i)) }
}

/** A busy day: low at night, a rise in the morning, a hump in the afternoon; 0..1. */
function daily(timeMs: number): number {
  const hour = (timeMs % DAY_MS) / HOUR_MS
  return 0.5 - 0.4 * Math.cos(((hour - 3) / 24) * 2 * Math.PI) + 0.1 * Math.sin((hour / 24) * 4 * Math.PI)
}

function isWeekend(timeMs: number): boolean {
  return new Date(timeMs).getUTCDay() % 6 === 0
}

/** Healthy series of many kinds, by name; nothing in them deserves an alarm. */
export const CLEAN: Readonly<Record<string, (seed: number, days: number) => SyntheticSeries>> = {
  noise: (seed, days) => {
    const n = normal(seed)
    return generate(days, 5 * MINUTE_MS, () => 50 + 5 * n())
  },
  'daily season': (seed, days) => {
    const n = normal(seed)
    return generate(days, 5 * MINUTE_MS, (t) => 100 + 80 * daily(t) + 5 * n())
  },
  'daily and weekly season, hourly': (seed, days) => {
    const n = normal(seed)
    return generate(days, HOUR_MS, (t) => 1000 + (isWeekend(t) ? 300 : 800) * daily(t) + 20 * n())
  },
  'noise that grows with the day': (seed, days) => {
    const n = normal(seed)
    return generate(days, 10 * MINUTE_MS, (t) => 200 * daily(t) * (1 + 0.12 * n()))
  },
  'heavy tails': (seed, days) => {
    const n = normal(seed)
    return generate(days, 5 * MINUTE_MS, () => 10 * Math.exp(0.8 * n()))
  },
  'red noise': (seed, days) => {
    const n = normal(seed)
    let level = 0
    return generate(days, 5 * MINUTE_MS, () => 50 + (level = 0.9 * level + n()))
  },
  'random walk': (seed, days) => {
    const n = normal(seed)
    let level = 1000
    return generate(days, 5 * MINUTE_MS, () => (level += n()))
  },
  trend: (seed, days) => {
    const n = normal(seed)
    return generate(days, 5 * MINUTE_MS, (_, i) => 50 + 0.02 * i + 5 * n())
  },
  'sparse counts': (seed, days) => {
    const u = uniform(seed)
    return generate(days, 5 * MINUTE_MS, () => (u() < 0.05 ? 1 + Math.floor(-Math.log(1 - u())) : 0))
  },
  'daily counts': (seed, days) => {
    const u = uniform(seed)
    return generate(days, 5 * MINUTE_MS, (t) => poisson(0.5 + 8 * daily(t), u))
  },
  'on and off': (seed, days) => {
    const n = normal(seed)
    const u = uniform(seed + 1)
    let on = false
    return generate(days, 5 * MINUTE_MS, () => {
      if (u() < 0.05) on = !on
      return (on ? 80 : 10) + n()
    })
  },
  'nightly burst': (seed, days) => {
    const n = normal(seed)
    return generate(days, 5 * MINUTE_MS, (t) => (t % DAY_MS < 30 * MINUTE_MS ? 90 : 20) + 2 * n())
  },
  rounded: (seed, days) => {
    const n = normal(seed)
    return generate(days, 5 * MINUTE_MS, () => Math.round(20 + 1.2 * n()))
  },
  'perfect day': (_seed, days) =>
    generate(days, 5 * MINUTE_MS, (t) => (t % DAY_MS > 9 * HOUR_MS && t % DAY_MS < 18 * HOUR_MS ? 80 : 20)),
}

function poisson(mean: number, u: () => number): number {
  const limit = Math.exp(-mean)
  let count = 0
  for (let product = u(); product > limit; product *= u()) count++
  return count
}
