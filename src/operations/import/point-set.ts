import { createHash } from 'node:crypto'

/** What of a point's identity comes from its series. */
export interface SeriesHash {
  readonly low: number
  readonly high: number
}

export function hashSeries(canonicalKey: string): SeriesHash {
  const digest = createHash('sha256').update(canonicalKey).digest()
  return { low: digest.readUInt32BE(0), high: digest.readUInt32BE(4) }
}

const value64 = new Float64Array(1)
const value32 = new Uint32Array(value64.buffer)

/** Points by a number of 53 bits each, made of series, instant and value: the same points give the same numbers, whatever their order. */
export class PointSet {
  #hashes: Float64Array
  #count = 0
  readonly #passes: number
  readonly #pass: number

  /** @param passes how many parts the points are looked at in; only those of part `pass` are kept. */
  constructor(passes: number, pass: number) {
    this.#passes = passes
    this.#pass = pass
    this.#hashes = new Float64Array(1 << 16)
  }

  add(series: SeriesHash, micros: number, value: number): void {
    value64[0] = Number.isNaN(value) ? Number.NaN : value + 0
    let low = mix(series.low ^ micros, value32[0]!)
    let high = mix(series.high ^ Math.floor(micros / 4_294_967_296), value32[1]!)
    low = mix(low, high)
    high = mix(high, low)
    const hash = (high & 0x1f_ffff) * 4_294_967_296 + low
    if (hash % this.#passes !== this.#pass) return
    if (this.#count === this.#hashes.length) {
      const larger = new Float64Array(this.#count * 2)
      larger.set(this.#hashes)
      this.#hashes = larger
    }
    this.#hashes[this.#count++] = hash
  }

  /** Each of them once, ascending. */
  distinct(): Float64Array {
    const sorted = this.#hashes.subarray(0, this.#count).sort()
    let kept = 0
    for (let at = 0; at < sorted.length; at++)
      if (at === 0 || sorted[at] !== sorted[at - 1]) sorted[kept++] = sorted[at]!
    return sorted.subarray(0, kept)
  }
}

/** How many of the first are among the second, both ascending, and their sum modulo 2^64. */
export function common(
  first: Float64Array,
  second: Float64Array,
): { readonly count: number; readonly sum: bigint } {
  let [count, sum, at] = [0, 0n, 0]
  for (const hash of first) {
    while (at < second.length && second[at]! < hash) at++
    if (second[at] !== hash) continue
    count++
    sum += BigInt(hash)
  }
  return { count, sum: BigInt.asUintN(64, sum) }
}

/** The finishing steps of MurmurHash3 (Appleby, public domain), over two words. */
function mix(a: number, b: number): number {
  let hash = Math.imul(a ^ (a >>> 16), 0x85eb_ca6b) ^ Math.imul(b ^ (b >>> 15), 0xc2b2_ae35)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b)
  return (hash ^ (hash >>> 13)) >>> 0
}
