/** A point as a chart draws it: epoch milliseconds and a finite value. */
export interface ChartPoint {
  readonly timeMs: number
  readonly value: number
}

/**
 * Takes points one by one and keeps, of each of as many stretches of equal length as there is room for, the smallest and the greatest, beside the
 * first and the last of all (the min-max reduction of Jugel et al., M4, VLDB 2014).
 */
export class ChartReduction {
  readonly #first: ChartPoint
  readonly #last: ChartPoint
  readonly #stretches: number
  readonly #lowest: (ChartPoint | undefined)[] = []
  readonly #highest: (ChartPoint | undefined)[] = []

  constructor(first: ChartPoint, last: ChartPoint, maxPoints: number) {
    this.#first = first
    this.#last = last
    this.#stretches = Math.floor((maxPoints - 2) / 2)
  }

  /** Of equal values the first one stays; NaN and infinities are left out. */
  add(timeMs: number, value: number): void {
    if (!Number.isFinite(value)) return
    const length = this.#last.timeMs - this.#first.timeMs
    const part = length === 0 ? 0 : (timeMs - this.#first.timeMs) / length
    const stretch = Math.max(0, Math.min(this.#stretches - 1, Math.floor(part * this.#stretches)))
    const point = { timeMs, value }
    if (value < (this.#lowest[stretch]?.value ?? Infinity)) this.#lowest[stretch] = point
    if (value > (this.#highest[stretch]?.value ?? -Infinity)) this.#highest[stretch] = point
  }

  /** The extremes so far: the smallest of all stretches, then the greatest. */
  extremes(): ChartPoint[] {
    return [...this.#lowest, ...this.#highest].filter((point) => point !== undefined)
  }

  /** Puts other times in the place of those of {@link extremes}, in the same order. */
  replaceTimes(timesMs: readonly number[]): void {
    let next = 0
    for (const points of [this.#lowest, this.#highest])
      for (const [stretch, point] of points.entries())
        if (point !== undefined)
          points[stretch] = { timeMs: timesMs[next++] ?? point.timeMs, value: point.value }
  }

  /** What is left, ascending in time, each once. */
  points(): ChartPoint[] {
    const byTime = new Map(
      [this.#first, ...this.extremes(), this.#last].map((point) => [point.timeMs, point]),
    )
    return [...byTime.values()].toSorted((a, b) => a.timeMs - b.timeMs)
  }
}
