import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { makeDataset, type Point, START, stored } from './export-fixture.ts'

const RUNS = process.env['NOMALY_TEST_SCENARIOS'] === '1' ? 300 : 40

let nomaly: TestNomaly

beforeAll(async () => {
  nomaly = await startTestNomaly({ worker: false })
})

afterAll(async () => {
  await nomaly[Symbol.asyncDispose]()
})

const text = (maxLength: number, minLength = 0): fc.Arbitrary<string> =>
  fc
    .oneof(
      fc.string({ unit: 'binary', minLength, maxLength }),
      fc.constantFrom(
        'a,b',
        'say "x"',
        '"',
        ' padded ',
        'two\nlines',
        'a\r\nb',
        '\r',
        ';;;|\t',
        '1',
        '2026-01-01',
        'n/a',
        'é😀',
        '=1+1',
      ),
    )
    .filter((word) => !word.includes('\0') && word.isWellFormed() && word !== '__proto__')
const name = text(12, 1)
const value = fc.oneof(
  fc.double({ min: -1e148, max: 1e148 }),
  fc.constantFrom(Number.NaN, Infinity, -Infinity, 5e-324, 1e148, -0, 1e21, 0.1),
)
const timeMs = fc.oneof(
  fc.integer({ min: 0, max: 4_102_444_800_000_000 }).map((micros) => micros / 1000),
  fc.constantFrom(0, 0.001, START, START + 0.5, 4_102_444_800_000),
)
const tagsLike = (names: readonly string[]): fc.Arbitrary<Record<string, string>> =>
  fc
    .tuple(...names.map(() => text(12)))
    .map((values) => Object.fromEntries(names.map((one, i) => [one, values[i]!])))
const alike = fc.uniqueArray(name, { maxLength: 4 }).chain((names) => points(tagsLike(names)))
const different = points(fc.dictionary(name, text(12), { maxKeys: 4 }))

function points(tags: fc.Arbitrary<Record<string, string>>): fc.Arbitrary<Point[]> {
  return fc.array(fc.tuple(fc.record({ metric: name, tags }), timeMs, value), { minLength: 1, maxLength: 30 })
}

test.each(['csv', 'ndjson'] as const)(
  'what is exported as %s is read back to the identical points',
  async (format) => {
    const type = format === 'csv' ? 'text/csv' : 'application/x-ndjson'
    await fc.assert(
      fc.asyncProperty(fc.oneof(alike, different), async (some) => {
        const from = await makeDataset(nomaly, some)
        const file = await nomaly.request('GET', `/v1/datasets/${from.name}/export?format=${format}`)
        expect(file.status).toBe(200)
        const to = await makeDataset(nomaly)
        const answer = await nomaly.request('POST', `/v1/datasets/${to.name}/points`, {
          body: file.body,
          headers: { 'content-type': type },
        })
        const expected = await stored(nomaly, from.id)
        expect(answer.body, JSON.stringify(file.body)).toMatchObject({
          inserted: expected.length,
          rejectedTotal: 0,
          duplicates: 0,
        })
        expect(await stored(nomaly, to.id)).toEqual(expected)
      }),
      { seed: 1, numRuns: RUNS },
    )
  },
)
