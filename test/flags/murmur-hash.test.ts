import fc from 'fast-check'
import { expect, test } from 'vitest'
import { murmurHash } from '../../src/flags/murmur-hash.ts'

// Published vectors of MurmurHash3_x86_32.
test.each([
  ['', 0, 0],
  ['', 1, 0x514e28b7],
  ['', 0xffffffff, 0x81f16f39],
  ['test', 0, 0xba6bd213],
  ['test', 0x9747b28c, 0x704b81dc],
  ['Hello, world!', 0, 0xc0363e43],
  ['Hello, world!', 0x9747b28c, 0x24884cba],
  ['The quick brown fox jumps over the lazy dog', 0, 0x2e4ff723],
  ['The quick brown fox jumps over the lazy dog', 0x9747b28c, 0x2fa826cd],
])('the hash of "%s" with seed %i is the one everybody has', (text, seed, hash) => {
  expect(murmurHash(text, seed)).toBe(hash)
})

test('every text is hashed as the UTF-8 bytes that it has', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 30 }),
        fc.constantFrom('ä', '€', '💥', 'a\ud800', '\udc00b', '\ud800\ud800x'),
      ),
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      (text, seed) => murmurHash(text, seed) === hashBytes(new TextEncoder().encode(text), seed),
    ),
    { numRuns: 2_000 },
  )
})

/** The algorithm as it is written down, on bytes and big integers. */
function hashBytes(bytes: Uint8Array, seed: number): number {
  const mask = 0xffffffffn
  const multiply = (a: bigint, b: bigint): bigint => (a * b) & mask
  const rotate = (a: bigint, by: bigint): bigint => ((a << by) | (a >> (32n - by))) & mask
  const scramble = (block: bigint): bigint => multiply(rotate(multiply(block, 0xcc9e2d51n), 15n), 0x1b873593n)
  let hash = BigInt(seed)
  const whole = bytes.length - (bytes.length % 4)
  const at = (index: number): bigint => BigInt(bytes[index]!)
  for (let i = 0; i < whole; i += 4) {
    const block = at(i) | (at(i + 1) << 8n) | (at(i + 2) << 16n) | (at(i + 3) << 24n)
    hash = (multiply(rotate(hash ^ scramble(block), 13n), 5n) + 0xe6546b64n) & mask
  }
  let tail = 0n
  for (let i = bytes.length - 1; i >= whole; i--) tail = (tail << 8n) | at(i)
  hash ^= scramble(tail) ^ BigInt(bytes.length)
  hash = multiply(hash ^ (hash >> 16n), 0x85ebca6bn)
  hash = multiply(hash ^ (hash >> 13n), 0xc2b2ae35n)
  return Number(hash ^ (hash >> 16n))
}
