/** Writes instants as ISO 8601 in UTC, with as many digits as they need: to the second, the millisecond or the microsecond. */
export class InstantText {
  #second = Number.NaN
  #prefix = ''

  /** Epoch microseconds between the years 0 and 9999. */
  write(micros: number): string {
    const second = Math.floor(micros / 1_000_000)
    // Points follow one another closely: most of the text stays the same.
    if (second !== this.#second) {
      this.#second = second
      this.#prefix = new Date(second * 1000).toISOString().slice(0, 19)
    }
    const fraction = micros - second * 1_000_000
    if (fraction === 0) return `${this.#prefix}Z`
    const digits = String(fraction).padStart(6, '0')
    return `${this.#prefix}.${digits.endsWith('000') ? digits.slice(0, 3) : digits}Z`
  }
}
