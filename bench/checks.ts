/** What an issue asks of a figure. */
export type Bound = { readonly atMost: number } | { readonly atLeast: number }

/** One figure of a benchmark. Without a bound it is only reported, and is always `ok`. */
export interface Check {
  readonly name: string
  readonly value: number
  readonly unit: string
  readonly bound: Bound | null
  /** What is hoped for, beyond the bound. */
  readonly aim?: number
  readonly ok: boolean
}

/** A figure that must not be above `bound`. */
export function atMost(name: string, value: number, unit: string, bound: number): Check {
  return { name, value: rounded(value), unit, bound: { atMost: bound }, ok: value <= bound }
}

/** A figure that must not be below `bound`. */
export function atLeast(name: string, value: number, unit: string, bound: number): Check {
  return { name, value: rounded(value), unit, bound: { atLeast: bound }, ok: value >= bound }
}

/** A figure that nothing is asked of. */
export function reported(name: string, value: number, unit: string): Check {
  return { name, value: rounded(value), unit, bound: null, ok: true }
}

/** The middle one of several measurements; of an even number, the upper one of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted[Math.floor(sorted.length / 2)]
  if (middle === undefined) throw new Error('There is no median of nothing.')
  return middle
}

function rounded(value: number): number {
  return Number(value.toPrecision(4))
}
