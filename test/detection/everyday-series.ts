import { DAY_MS, HOUR_MS, MINUTE_MS, normal } from './synthetic-series.ts'
import { uniform } from '../support/random.ts'

/** A healthy series of a kind that turns up in practice. */
export interface EverydaySeries {
  readonly stepMs: number
  readonly points: number
  /** Points after which it repeats, where it does. */
  readonly period?: number
  /** Whether it keeps moving, so that a standstill is an anomaly. */
  readonly moving?: boolean
  /** Whether its level wanders, so that only the last hours say what is far. */
  readonly wandering?: boolean
  /** Whether values far beyond all others belong to it. */
  readonly heavy?: boolean
  value(seed: number): (i: number) => number
}

const HALF_WEEK = 4000
const minutes = { stepMs: MINUTE_MS, points: HALF_WEEK }

function noisy(make: (n: () => number, i: number) => number): EverydaySeries['value'] {
  return (seed) => {
    const n = normal(seed)
    return (i) => make(n, i)
  }
}

function remembering(
  start: number,
  next: (before: number, n: () => number) => number,
): EverydaySeries['value'] {
  return (seed) => {
    const n = normal(seed)
    let level = start
    return () => (level = next(level, n))
  }
}

/** By name. */
export const EVERYDAY: Readonly<Record<string, EverydaySeries>> = {
  'scrambled pattern of 23': {
    ...minutes,
    period: 23,
    moving: true,
    value: () => (i) => 100 + ((i * 7919) % 23),
  },
  'scrambled pattern of 7': {
    ...minutes,
    period: 7,
    moving: true,
    value: () => (i) => 100 + ((i * 7919) % 7),
  },
  'sawtooth of 37': { ...minutes, period: 37, moving: true, value: () => (i) => 10 + ((i % 37) / 37) * 50 },
  'square wave of 12': { ...minutes, period: 12, value: () => (i) => (i % 12 < 6 ? 20 : 80) },
  'square wave of 60': { ...minutes, period: 60, value: () => (i) => (i % 60 < 30 ? 20 : 80) },
  'pulse every 37': { ...minutes, value: () => (i) => (i % 37 === 3 ? 100 : 5) },
  'sine of 60': { ...minutes, period: 60, moving: true, value: () => (i) => 50 + 20 * Math.sin(i / 9.549) },
  'noisy sine of 100': {
    ...minutes,
    period: 100,
    moving: true,
    value: noisy((n, i) => 50 + 20 * Math.sin((i / 50) * Math.PI) + n()),
  },
  'whole numbers': { ...minutes, moving: true, value: noisy((n) => Math.round(20 + 1.2 * n())) },
  constant: { ...minutes, value: () => () => 42 },
  'rare blips': {
    ...minutes,
    value: (seed) => {
      const u = uniform(seed)
      return () => (u() < 0.01 ? 42 + 5 * u() : 42)
    },
  },
  'two levels': {
    ...minutes,
    value: (seed) => {
      const u = uniform(seed)
      let on = false
      return () => {
        if (u() < 0.03) on = !on
        return on ? 80 : 10
      }
    },
  },
  'zero nights': {
    stepMs: 5 * MINUTE_MS,
    points: 288 * 21,
    period: 288,
    value: noisy((n, i) => {
      const hour = (i % 288) / 12
      return hour < 7 || hour > 20
        ? 0
        : Math.max(0, 100 * Math.sin(((hour - 7) / 13) * Math.PI) * (1 + 0.1 * n()))
    }),
  },
  'daily season': {
    stepMs: 5 * MINUTE_MS,
    points: 288 * 21,
    period: 288,
    moving: true,
    value: noisy((n, i) => 100 + 60 * Math.sin((i / 144) * Math.PI) + 4 * n()),
  },
  'weekly season, daily points': {
    stepMs: DAY_MS,
    points: 730,
    period: 7,
    moving: true,
    value: noisy((n, i) => (i % 7 < 5 ? 1000 : 400) + 30 * n()),
  },
  'noise, hourly': { stepMs: HOUR_MS, points: 3000, moving: true, value: noisy((n) => 100 + 5 * n()) },
  trend: { ...minutes, moving: true, wandering: true, value: noisy((n, i) => 100 + 0.05 * i + 3 * n()) },
  'random walk': {
    ...minutes,
    moving: true,
    wandering: true,
    value: remembering(1000, (level, n) => level + n()),
  },
  'red noise': { ...minutes, moving: true, value: remembering(0, (level, n) => 0.9 * level + n()) },
  'lognormal latencies': {
    ...minutes,
    moving: true,
    heavy: true,
    value: noisy((n) => 20 * Math.exp(0.7 * n())),
  },
  'Pareto sizes': {
    ...minutes,
    moving: true,
    heavy: true,
    value: (seed) => {
      const u = uniform(seed)
      return () => 10 * Math.pow(1 - u(), -1 / 2.5)
    },
  },
  'a mixture': {
    ...minutes,
    moving: true,
    value: noisy((n) => (n() > 1.3 ? 60 + 5 * n() : 20 + 2 * n())),
  },
  billionths: { ...minutes, moving: true, value: noisy((n) => 1e-9 * (10 + n())) },
  trillions: { ...minutes, moving: true, value: noisy((n) => 1e12 * (10 + n())) },
  'small changes of a large number': { ...minutes, moving: true, value: noisy((n) => 1e9 + n()) },
}
