import type { SplitShare } from './flag.ts'

/** A part of the circle of hashes: from (included) to (not included). */
export interface HashRange {
  readonly share: number
  readonly from: number
  readonly to: number
}

const CIRCLE = 2 ** 32
/** Percentages are counted in thousandths, so that sums are exact. */
const UNITS = 100_000

/**
 * Which hashes each share of a split takes. A share has a home: the first begins at 0, the next at a half, then at a quarter, at three
 * quarters, and so on (van der Corput's sequence), so that one more share moves no home. It takes from its home upwards, up to the next
 * home; what it has no room for there it takes from the far ends of what others leave free.
 *
 * So a share that grows keeps all it had, and takes from nobody who has something: with one or two shares always, with more as long as each
 * finds room at home.
 */
export function splitRanges(shares: readonly SplitShare[]): HashRange[] {
  const units = shares.map(({ percentage }) => Math.round(percentage * 1_000))
  const homes = shares.map((_, index) => Math.floor(vanDerCorput(index) * UNITS))
  const free = homes.map((home, index) => {
    const end = Math.min(UNITS, ...homes.filter((other) => other > home))
    const taken = Math.min(units[index]!, end - home)
    return { home, share: index, from: home + taken, to: end, rest: units[index]! - taken, taken }
  })
  const ranges = free.map(({ share, home, taken }) => ({ share, from: home, to: home + taken }))
  const gaps = free.toSorted((a, b) => b.to - a.to)
  for (const { share, rest } of free) {
    let wanted = rest
    for (const gap of gaps) {
      const taken = Math.min(wanted, gap.to - gap.from)
      if (taken === 0) continue
      ranges.push({ share, from: gap.to - taken, to: gap.to })
      gap.to -= taken
      wanted -= taken
    }
  }
  return ranges
    .filter(({ from, to }) => to > from)
    .map(({ share, from, to }) => ({ share, from: toHash(from), to: toHash(to) }))
}

function toHash(units: number): number {
  return Math.round((units * CIRCLE) / UNITS)
}

/** The bits of the number, mirrored behind the point: 0, 1/2, 1/4, 3/4, 1/8, … (van der Corput 1935). */
function vanDerCorput(index: number): number {
  let result = 0
  for (let rest = index, weight = 0.5; rest > 0; rest >>= 1, weight /= 2)
    if ((rest & 1) === 1) result += weight
  return result
}
