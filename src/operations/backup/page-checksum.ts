/** Bytes of a page of PostgreSQL. */
export const PAGE_BYTES = 8192

/** Pages of one segment of a relation: it is split into files of a gigabyte. */
const SEGMENT_PAGES = 131_072

const SUMS = 32
const PRIME = 16_777_619
const WORDS = PAGE_BYTES / 4

/** As in PostgreSQL's `storage/checksum_impl.h`: 32 sums side by side, after Fowler, Noll and Vo's FNV-1a. */
const OFFSETS = Uint32Array.of(
  0x5b1f36e9,
  0xb8525960,
  0x02ab50aa,
  0x1de66d2a,
  0x79ff467a,
  0x9bb9f8a3,
  0x217e7cd2,
  0x83e13d2c,
  0xf8d4474f,
  0xe39eb970,
  0x42c6ae16,
  0x993216fa,
  0x7b093b5d,
  0x98daff3c,
  0xf718902a,
  0x0b1c9cdb,
  0xe58f764b,
  0x187636bc,
  0x5d7b3bb1,
  0xe73de7de,
  0x92bec979,
  0xcca6c0b2,
  0x304a0979,
  0x85aa43d4,
  0x783125bb,
  0x6ca8eaa2,
  0xe407eac6,
  0x4b5cfc3e,
  0x9fbf8c76,
  0x15ca20be,
  0xf2ca9fd3,
  0x959bd756,
)
const sums = new Int32Array(SUMS)

/** What `pd_checksum` of a page must be, by the number of its block in the whole relation. */
export function pageChecksum(page: Uint8Array, block: number): number {
  const words = new Int32Array(page.buffer, page.byteOffset, WORDS)
  sums.set(OFFSETS)
  for (let at = 0; at < WORDS; at += SUMS)
    for (let lane = 0; lane < SUMS; lane++) {
      // The third word holds the checksum itself and the flags: it counts as if there were no checksum.
      const word = at === 0 && lane === 2 ? words[2]! & ~0xffff : words[at + lane]!
      const mixed = sums[lane]! ^ word
      sums[lane] = Math.imul(mixed, PRIME) ^ (mixed >>> 17)
    }
  let result = 0
  for (let lane = 0; lane < SUMS; lane++) {
    let sum = sums[lane]!
    for (let round = 0; round < 2; round++) sum = Math.imul(sum, PRIME) ^ (sum >>> 17)
    result ^= sum
  }
  return (((result ^ block) >>> 0) % 65_535) + 1
}

/** Whether a page has been used: a new one has no checksum yet. */
export function isUsedPage(page: Buffer): boolean {
  return page.readUInt16LE(14) !== 0
}

/** The position in the log of the last change to a page. */
export function pageLsn(page: Buffer): bigint {
  return (BigInt(page.readUInt32LE(0)) << 32n) | BigInt(page.readUInt32LE(4))
}

/** Whether the checksum that stands in a page is the right one. */
export function isSoundPage(page: Buffer, block: number): boolean {
  return !isUsedPage(page) || page.readUInt16LE(8) === pageChecksum(page, block)
}

/** The number of the first block of a file of a relation, such as `base/5/16384.2`; `undefined` for files that have no pages. */
export function firstBlock(path: string): number | undefined {
  const match = /^(?:global|base\/\d+)\/\d+(?:_(?:fsm|vm|init))?(?:\.(\d+))?$/.exec(path)
  return match === null ? undefined : Number(match[1] ?? 0) * SEGMENT_PAGES
}
