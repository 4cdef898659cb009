import type { MetricsEngine } from '../../src/metrics/metrics-engine.ts'
import type { Check } from '../checks.ts'
import type { QuestionId } from './question.ts'

/** A floor that is asked for and an aim that is hoped for, both ratios. */
export interface Target {
  readonly floor: number
  readonly aim?: number
}

export interface Targets {
  readonly fresh: Target
  readonly repeated?: Target
  readonly rowByRow?: Target
  readonly http?: Target
  readonly bytes?: Target
  readonly questions: Readonly<Partial<Record<QuestionId, Target>>>
  /** How many times slower dashboards may be with ten times the points. */
  readonly tenTimes: { readonly ceiling: number; readonly aim?: number }
}

/** What is asked of each engine. */
export const TARGETS: Readonly<Record<MetricsEngine['name'], Targets>> = {
  timescale: {
    fresh: { floor: 0.65, aim: 0.9 },
    repeated: { floor: 0.3, aim: 0.5 },
    rowByRow: { floor: 25, aim: 50 },
    http: { floor: 0.4, aim: 0.6 },
    bytes: { floor: 28, aim: 60 },
    questions: {
      'series-day': { floor: 3.5, aim: 6 },
      'metric-week': { floor: 25, aim: 60 },
      'all-week': { floor: 80, aim: 200 },
      'top-jobs': { floor: 34, aim: 60 },
      latest: { floor: 0.8, aim: 1.5 },
      'tag-day': { floor: 100, aim: 200 },
    },
    tenTimes: { ceiling: 1.3, aim: 1.1 },
  },
  partitioned: {
    fresh: { floor: 0.65 },
    questions: {
      'metric-week': { floor: 20 },
      'all-week': { floor: 20 },
      'top-jobs': { floor: 20 },
      latest: { floor: 0.8 },
    },
    tenTimes: { ceiling: 1.5 },
  },
}

/** Most memory of the process while points stream in, in MiB, and by how much it may grow from the first to the second half. */
export const MEMORY = { mostMib: 300, growth: 1.15 } as const

/** A ratio beside its target; without one, or where `isAsked` is false, it is only reported. */
export function ratioCheck(name: string, value: number, target: Target | undefined, isAsked = true): Check {
  const floor = isAsked ? target?.floor : undefined
  return {
    name,
    value: Number(value.toPrecision(4)),
    unit: 'ratio',
    bound: floor === undefined ? null : { atLeast: floor },
    ...(target?.aim === undefined ? {} : { aim: target.aim }),
    ok: floor === undefined || value >= floor,
  }
}
