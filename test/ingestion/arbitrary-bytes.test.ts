import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { NomalyError } from '../../src/errors.ts'
import { detectFormat } from '../../src/ingestion/detect-format.ts'
import type { PointFormat } from '../../src/ingestion/parsed-points.ts'
import { readPoints } from './read-points.ts'

const FORMATS: readonly PointFormat[] = ['ndjson', 'json', 'csv']
const SETTINGS = { seed: 20_260_101, numRuns: 300 }

/** Pieces of the formats in any order: nearly right, as real damage is. */
const PUNCTUATION = [
  '{',
  '}',
  '[',
  ']',
  '"',
  ',',
  ':',
  '\n',
  '\r\n',
  '\\',
  ' ',
  ';',
  '\t',
  '|',
  '\0',
  '\ufeff',
  '#',
]
const WORDS = [
  '"time"',
  '"points"',
  '"value"',
  '"tags"',
  '"metric"',
  '"__proto__"',
  '"\\u0000"',
  'NaN',
  'null',
  'true',
]
const CELLS = [
  '2026-01-01',
  '"2026-01-01T00:00:00Z"',
  '1.5',
  '-3',
  '1e999',
  '1,234',
  '01/02/2026',
  '12:30',
  '€',
  '%',
]
const WHOLE = [
  '{"time":"2026-01-01T00:00:00Z","value":1}\n',
  '{"points":[{"time":1700000000,"value":"NaN","tags":{"a":1}}]}',
  'time,host,value\n2026-01-01,a,1\n2026-01-02,b,2\n',
]
const token = fc.constantFrom(...PUNCTUATION, ...WORDS, ...CELLS, ...WHOLE, 'Infinity', 'abc', 'é', '😀')
const nearlyRight = fc.array(token, { maxLength: 60 }).map((tokens) => Buffer.from(tokens.join('')))
const anything = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))
const input = fc.oneof({ weight: 3, arbitrary: nearlyRight }, { weight: 1, arbitrary: anything })
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 })

/** The result, or the error a user is told; any other error is a bug and thrown. */
async function outcome(format: PointFormat, bytes: Uint8Array, pieces?: readonly number[]): Promise<unknown> {
  try {
    return await readPoints(format, bytes, pieces === undefined ? {} : { pieces })
  } catch (error) {
    if (error instanceof NomalyError) return { code: error.code, message: error.message, hint: error.hint }
    throw error
  }
}

describe.each(FORMATS)('any bytes as %s', (format) => {
  it('give points, refusals or an error in words, and the same however the bytes are split', async () => {
    const property = fc.asyncProperty(input, sizes, async (bytes, pieces) => {
      expect(await outcome(format, bytes, pieces)).toEqual(await outcome(format, bytes))
    })
    await fc.assert(property, SETTINGS)
  })

  it('have a format', () => {
    fc.assert(
      fc.property(input, (bytes) => {
        expect(FORMATS).toContain(detectFormat(bytes))
      }),
      SETTINGS,
    )
  })
})

it('points come back as they went in', async () => {
  const name = fc
    .string({ minLength: 1, maxLength: 20, unit: 'grapheme' })
    .filter((text) => text !== '__proto__' && !text.includes('\0') && text.isWellFormed())
  const value = fc.oneof(fc.double({ min: -1e148, max: 1e148 }), fc.constant(Infinity))
  const point = fc.record({
    time: fc.integer({ min: 1e11, max: 4e12 }),
    metric: name,
    tags: fc.dictionary(name, name, { maxKeys: 4, noNullPrototype: true }),
    value,
  })
  const property = fc.asyncProperty(
    fc.array(point, { maxLength: 50 }),
    sizes,
    fc.boolean(),
    async (points, pieces, array) => {
      const texts = points.map((one) =>
        JSON.stringify({ ...one, value: Number.isFinite(one.value) ? one.value : String(one.value) }),
      )
      const text = array ? `[${texts.join(',')}]` : texts.join('\n')
      const read = await readPoints(array ? 'json' : 'ndjson', text, { pieces })
      expect(read.rejected).toEqual([])
      expect(read.points).toEqual(
        points.map((one, at) => ({
          ...one,
          value: one.value + 0,
          line: at + 1,
          time: new Date(one.time).toISOString(),
        })),
      )
    },
  )
  await fc.assert(property, { ...SETTINGS, numRuns: 200 })
})
