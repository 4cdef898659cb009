import type { PointColumns } from '../metrics/metrics-engine.ts'

/** What a detector has taken in of a series since it began to count. */
export interface SeenPoints {
  /** Names where the count begins: counts that do not begin at the same place have nothing to do with each other. */
  readonly since: string
  readonly points: number
  /** A sum over the points, 64 bits as hexadecimal digits: the same points make the same sum, in whatever parts they come. */
  readonly sum: string
}

/**
 * Counts points and sums up a hash of each (the finalizer of MurmurHash3, over the bits of time and value), so that what lay between two
 * counts can later be told from what lies there then. It finds what was lost or changed by accident; it is no protection from forgery.
 */
export class SeenCounter {
  readonly #since: string
  #points: number
  #low: number
  #high: number

  private constructor({ since, points, sum }: SeenPoints) {
    this.#since = since
    this.#points = points
    this.#high = Number.parseInt(sum.slice(0, 8), 16)
    this.#low = Number.parseInt(sum.slice(8), 16)
  }

  static begin(since: string): SeenCounter {
    return new SeenCounter({ since, points: 0, sum: '0'.repeat(16) })
  }

  /** Goes on from a count, or begins one where there is none. */
  static continue(seen: SeenPoints | undefined, beginning: string): SeenCounter {
    return seen === undefined ? SeenCounter.begin(beginning) : new SeenCounter(seen)
  }

  get seen(): SeenPoints {
    return { since: this.#since, points: this.#points, sum: hexadecimal(this.#high) + hexadecimal(this.#low) }
  }

  /** Takes points in that a detector is given. Those that are not finite it leaves out, and may be given once more. */
  add({ timesMs, values }: Pick<PointColumns, 'timesMs' | 'values'>): void {
    for (let i = 0; i < timesMs.length; i++) {
      if (!Number.isFinite(values[i]!)) continue
      NUMBERS[0] = timesMs[i]!
      NUMBERS[1] = values[i]!
      const [timeLow, timeHigh, valueLow, valueHigh] = BITS as unknown as [number, number, number, number]
      const one = mix(mix(mix(mix(0x9747b28c ^ timeLow) ^ timeHigh) ^ valueLow) ^ valueHigh)
      const other = mix(mix(mix(mix(0x3c6ef372 ^ valueHigh) ^ valueLow) ^ timeHigh) ^ timeLow)
      this.#low = (this.#low + one) >>> 0
      this.#high = (this.#high + other) >>> 0
      this.#points += 1
    }
  }
}

const NUMBERS = new Float64Array(2)
const BITS = new Uint32Array(NUMBERS.buffer)

function mix(bits: number): number {
  let h = bits
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** What came between two counts that begin at the same place; all of the second where there is no first. */
export function seenBetween(from: SeenPoints | undefined, to: SeenPoints): Omit<SeenPoints, 'since'> {
  const part = (start: number): string => {
    const at = ({ sum }: SeenPoints): number => Number.parseInt(sum.slice(start, start + 8), 16)
    return hexadecimal((at(to) - (from === undefined ? 0 : at(from))) >>> 0)
  }
  return { points: to.points - (from?.points ?? 0), sum: part(0) + part(8) }
}

function hexadecimal(bits: number): string {
  return bits.toString(16).padStart(8, '0')
}
