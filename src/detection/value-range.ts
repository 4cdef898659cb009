import type { StateReader, StateWriter } from './state-codec.ts'

/** From so many points on, what was seen says how far the values go. */
const ENOUGH_POINTS = 500
/** How many times the whole range a value may lie outside it. */
const ROOM = 3
/** The range forgets: without new extremes it shrinks by this share of itself with every point. */
const FORGETTING = 1 / 20_000
/** How many powers of ten rarer a value is that lies ten times as far out; a tail as heavy as anything that is measured. */
const DECADES_PER_DECADE = 2.5

/**
 * The lowest and the highest value so far. Whatever is believed of scores and seasons: a value that lies several times further out than anything among
 * hundreds of points is rare.
 */
export class ValueRange {
  #low = Number.POSITIVE_INFINITY
  #high = Number.NEGATIVE_INFINITY
  #points = 0
  #oddLow = Number.POSITIVE_INFINITY
  #oddHigh = Number.NEGATIVE_INFINITY

  /** Below this a value is rare in any case; -Infinity while too little is known, or nothing varies. */
  get floor(): number {
    return this.#known ? this.#low - ROOM * (this.#high - this.#low) : Number.NEGATIVE_INFINITY
  }

  /** Above this a value is rare in any case. */
  get ceiling(): number {
    return this.#known ? this.#high + ROOM * (this.#high - this.#low) : Number.POSITIVE_INFINITY
  }

  /** How many powers of ten rarer than a value at the bounds this one is: 0 there, undefined within them. */
  decadesBeyond(value: number): number | undefined {
    if (value <= this.ceiling && value >= this.floor) return undefined
    const room = ROOM * (this.#high - this.#low)
    const out = value > this.#high ? value - this.#high : this.#low - value
    return DECADES_PER_DECADE * Math.log10(out / room)
  }

  add(value: number): void {
    this.#points++
    const shrink = this.#points > 1 ? FORGETTING * (this.#high - this.#low) : 0
    this.#high = Math.max(this.#high - shrink, value)
    this.#low = Math.min(this.#low + shrink, value)
  }

  /** Takes in a value of an event, cut off at the bounds, so that one disaster does not hide the next. It counts once the event is over. */
  addOdd(value: number): void {
    const cut = Math.max(this.floor, Math.min(this.ceiling, value))
    this.#oddLow = Math.min(this.#oddLow, cut)
    this.#oddHigh = Math.max(this.#oddHigh, cut)
  }

  /** The event is over. */
  settle(): void {
    this.#low = Math.min(this.#low, this.#oddLow)
    this.#high = Math.max(this.#high, this.#oddHigh)
    this.#oddLow = Number.POSITIVE_INFINITY
    this.#oddHigh = Number.NEGATIVE_INFINITY
  }

  write(writer: StateWriter): void {
    for (const value of [this.#low, this.#high, this.#points, this.#oddLow, this.#oddHigh])
      writer.number(value)
  }

  read(reader: StateReader): void {
    this.#low = reader.number()
    this.#high = reader.number()
    this.#points = reader.number()
    this.#oddLow = reader.number()
    this.#oddHigh = reader.number()
  }

  get #known(): boolean {
    return this.#points >= ENOUGH_POINTS && this.#high > this.#low
  }
}
