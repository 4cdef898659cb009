import type { RetentionClass, SeriesId } from './metrics-engine.ts'

/** What is remembered of a series: enough to write points without asking for its name again. */
export interface KnownSeries {
  readonly id: SeriesId
  readonly retention: RetentionClass
}

/** The series used last, by tenant, source and key; what was not used for longest makes room. */
export class SeriesCache {
  readonly #entries = new Map<string, KnownSeries>()
  readonly #maxEntries: number

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries
  }

  get(key: string): KnownSeries | undefined {
    const known = this.#entries.get(key)
    if (known !== undefined) {
      this.#entries.delete(key)
      this.#entries.set(key, known)
    }
    return known
  }

  set(key: string, known: KnownSeries): void {
    this.#entries.delete(key)
    this.#entries.set(key, known)
    if (this.#entries.size > this.#maxEntries) this.#entries.delete(this.#entries.keys().next().value!)
  }

  delete(key: string): void {
    this.#entries.delete(key)
  }
}
