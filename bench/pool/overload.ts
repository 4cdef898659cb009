import { type Budget, withPurpose } from '../../src/database/purpose.ts'
import { NomalyError } from '../../src/errors.ts'
import { MIXES } from './mix.ts'
import type { ProductSide } from './product-side.ts'

/** How many clients of each budget ask at once. */
export type Crowd = Readonly<Record<Budget, number>>

export interface OverloadReport {
  readonly perSecond: number
  readonly refused: number
  /** Failures that are no refusal: there must be none. */
  readonly failed: number
  /** The longest that anybody waited for an answer or a refusal. */
  readonly longestMs: number
  /** How often the client was served that was served least, and how often on average, by budget. */
  readonly least: Readonly<Record<Budget, number>>
  readonly average: Readonly<Record<Budget, number>>
}

/** Has clients ask for some seconds, each again as soon as it has its answer, or a moment after it was refused. */
export async function overload(side: ProductSide, crowd: Crowd, seconds: number): Promise<OverloadReport> {
  const untilMs = performance.now() + seconds * 1_000
  const acts = MIXES.mixed
  let refused = 0
  let failed = 0
  let longestMs = 0
  const client = async (number: number): Promise<number> => {
    let served = 0
    for (let turn = number; performance.now() < untilMs; turn++) {
      const startedAt = performance.now()
      try {
        await side.do(acts[turn % acts.length]!, turn * 7_919)
        served += 1
      } catch (error) {
        if (error instanceof NomalyError && error.code === 'overloaded') refused += 1
        else failed += 1
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      longestMs = Math.max(longestMs, performance.now() - startedAt)
    }
    return served
  }
  const startedAt = performance.now()
  const groups = await Promise.all(
    (Object.entries(crowd) as [Budget, number][]).map(async ([budget, count]) => {
      const served = await withPurpose({ budget, label: 'bench' }, () =>
        Promise.all(Array.from({ length: count }, (_, number) => client(number))),
      )
      return [budget, served] as const
    }),
  )
  const elapsedSeconds = (performance.now() - startedAt) / 1_000
  const total = groups.reduce((sum, [, served]) => sum + served.reduce((a, b) => a + b, 0), 0)
  const by = (of: (served: readonly number[]) => number): Record<Budget, number> =>
    Object.fromEntries(groups.map(([budget, served]) => [budget, of(served)])) as Record<Budget, number>
  return {
    perSecond: total / elapsedSeconds,
    refused,
    failed,
    longestMs,
    least: by((served) => (served.length === 0 ? 0 : Math.min(...served))),
    average: by((served) => (served.length === 0 ? 0 : served.reduce((a, b) => a + b, 0) / served.length)),
  }
}
