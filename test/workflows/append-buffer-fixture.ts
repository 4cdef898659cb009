import type { AppendReport, MetricsEngine, PointBatch } from '../../src/metrics/metrics-engine.ts'

export const START = Date.UTC(2026, 0, 1)

export interface Point {
  readonly series?: string
  readonly second: number
  readonly value: number
}

/** One point a series and second; what is named alike is one series. */
export function batch(id: string, points: readonly Point[]): PointBatch {
  return {
    source: { kind: 'dataset', id, retention: 'forever' },
    keys: points.map(({ series = 'only' }) => ({ metric: 'm', tags: { series } })),
    series: Uint32Array.from(points.keys()),
    timesMs: Float64Array.from(points, ({ second }) => START + second * 1000),
    values: Float64Array.from(points, ({ value }) => value),
  }
}

export const single = (id: string, second: number, value = 1): PointBatch => batch(id, [{ second, value }])

/** An engine; what is asked of it is noted, and waits at the gate while that is shut. */
export class GatedEngine implements Pick<MetricsEngine, 'append' | 'appendFresh'> {
  readonly calls: { readonly how: 'append' | 'appendFresh'; readonly points: number }[] = []
  readonly #engine: MetricsEngine
  readonly #gate = Promise.withResolvers<void>()

  constructor(engine: MetricsEngine) {
    this.#engine = engine
  }

  open(): void {
    this.#gate.resolve()
  }

  async append(...[scope, points, signal]: Parameters<MetricsEngine['append']>) {
    this.calls.push({ how: 'append', points: points.series.length })
    await this.#gate.promise
    return this.#engine.append(scope, points, signal)
  }

  async appendFresh(...[scope, points, signal]: Parameters<MetricsEngine['appendFresh']>) {
    this.calls.push({ how: 'appendFresh', points: points.series.length })
    await this.#gate.promise
    return this.#engine.appendFresh(scope, points, signal)
  }
}

/** A timer that goes off when told. */
export class HandTimer {
  readonly pending = new Map<() => void, number>()

  readonly delay = (work: () => void, ms: number): (() => void) => {
    this.pending.set(work, ms)
    return () => this.pending.delete(work)
  }

  goOff(): void {
    for (const work of this.pending.keys()) {
      this.pending.delete(work)
      work()
    }
  }
}

/** What an append is told, where nothing else is said. */
export const report = (counts: Partial<AppendReport>): object => ({
  value: { inserted: 0, duplicates: 0, conflicting: 0, rejected: [], rejectedTotal: 0, ...counts },
})
