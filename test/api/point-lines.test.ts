import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestNomaly, type TestNomaly } from '../support/nomaly.ts'

const RUNS = process.env['NOMALY_TEST_SCENARIOS'] === '1' ? 300 : 25
const START = 1_767_225_600_000

let nomaly: TestNomaly
let made = 0

beforeAll(async () => {
  nomaly = await startTestNomaly({ worker: false })
})

afterAll(async () => {
  await nomaly[Symbol.asyncDispose]()
})

/** A line of an input: a good one has its place in time and a value, a bad one is refused whatever stands beside it. */
type Line = { readonly value: number } | { readonly bad: string }

// Nought below zero is nought in JSON: adding nought makes it so.
const value = fc.oneof(
  fc.integer({ min: -1_000_000, max: 1_000_000 }),
  fc.double({ min: -1e9, max: 1e9, noNaN: true }),
)
const linesWith = (bad: readonly string[]): fc.Arbitrary<Line[]> =>
  fc.array(
    fc.oneof(
      { weight: 2, arbitrary: value.map((number) => ({ value: number + 0 })) },
      { weight: 1, arbitrary: fc.constantFrom(...bad).map((text) => ({ bad: text })) },
    ),
    { minLength: 1, maxLength: 60 },
  )

const BAD_JSON = [
  '{"time":1767225600000,"metric":"m","val',
  '{"time":"soon","metric":"m","value":1}',
  '{"time":1767225600000,"metric":"m","value":"much"}',
  '{"time":1767225600000,"metric":"m","value":1e200}',
  '{"time":1767225600000,"metric":"m"}',
  '{"metric":"m","value":1}',
  '{"time":1767225600000,"metric":"","value":1}',
  '{"time":1767225600000,"metric":7,"value":1}',
  '{"time":1767225600000,"metric":"m","tags":"a","value":1}',
  '{"time":1767225600000,"metric":"m","tags":{"a":[]},"value":1}',
  '{"time":1767225600000,"metric":"a\\u0000b","value":1}',
  '{"time":1767225600000,"metric":"\\ud800","value":1}',
  '{"time":99999999999999999999,"metric":"m","value":1}',
  '{"time":-5,"metric":"m","value":1}',
  '[1,2,3]',
  '"text"',
  '12',
  'null',
  'nonsense',
  '<xml/>',
]

const soundJson = (number: number, index: number): string =>
  JSON.stringify({ time: START + index * 1000, metric: 'm', value: number })

test('of NDJSON every good line is stored, and each bad one listed with its line and a reason', async () => {
  await fc.assert(
    fc.asyncProperty(
      linesWith(BAD_JSON),
      fc.constantFrom('\n', '\r\n'),
      fc.boolean(),
      async (lines, end, gzip) => {
        const text = lines
          .map((line, index) => ('bad' in line ? line.bad : soundJson(line.value, index)))
          .join(end)
        await expectStored(lines, 'application/x-ndjson', text, gzip, 1)
      },
    ),
    { seed: 1, numRuns: RUNS },
  )
})

test('of a JSON array every good element is stored, and each bad one listed with its place and a reason', async () => {
  // Elements must be whole: where one is not, the next begins nowhere.
  const whole = BAD_JSON.filter((text) => {
    try {
      return JSON.parse(text) !== undefined
    } catch {
      return false
    }
  })
  await fc.assert(
    fc.asyncProperty(linesWith(whole), fc.boolean(), async (lines, wrapped) => {
      const list = `[${lines.map((line, index) => ('bad' in line ? line.bad : soundJson(line.value, index))).join(',')}]`
      await expectStored(lines, 'application/json', wrapped ? `{"points":${list}}` : list, false, 1)
    }),
    { seed: 2, numRuns: RUNS },
  )
})

test('of CSV every good row is stored, and each bad one listed with its line and a reason', async () => {
  const bad = [
    'soon,1',
    '2026-01-01T00:00:00Z,much',
    ',5',
    '2026-13-45T99:00:00Z,5',
    '2026-01-01T00:00:00Z,1e200',
  ]
  await fc.assert(
    fc.asyncProperty(linesWith(bad), fc.boolean(), async (lines, gzip) => {
      // Columns are recognised by the rows: there must be enough good ones.
      const all: Line[] = [...Array.from({ length: 120 }, (_, i) => ({ value: i + 0.5 })), ...lines]
      const rows = all.map((line, index) =>
        'bad' in line ? line.bad : `${new Date(START + index * 1000).toISOString()},${line.value.toFixed(3)}`,
      )
      const rounded = all.map((line) => ('bad' in line ? line : { value: Number(line.value.toFixed(3)) + 0 }))
      await expectStored(rounded, 'text/csv', ['time,m', ...rows].join('\n'), gzip, 2)
    }),
    { seed: 3, numRuns: RUNS },
  )
})

/** Sends an input to a dataset of its own, and reads back what came of it. */
async function expectStored(
  lines: readonly Line[],
  type: string,
  text: string,
  gzip: boolean,
  firstLine: number,
): Promise<void> {
  const name = `lines-${(made += 1)}`
  await nomaly.request('POST', '/v1/datasets', { body: { name } })
  const answer = await nomaly.request('POST', `/v1/datasets/${name}/points`, {
    body: gzip ? gzipSync(text) : text,
    headers: { 'content-type': type, ...(gzip ? { 'content-encoding': 'gzip' } : {}) },
  })
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  const good = lines.flatMap((line, index) =>
    'bad' in line ? [] : [{ timeMs: START + index * 1000, value: line.value }],
  )
  const badLines = lines.flatMap((line, index) => ('bad' in line ? [index + firstLine] : []))
  expect(answer.body).toMatchObject({
    inserted: good.length,
    duplicates: 0,
    conflicting: 0,
    rejectedTotal: badLines.length,
  })
  expect(answer.body.rejected.map(({ line }: { line: number }) => line)).toEqual(badLines)
  for (const { reason } of answer.body.rejected) expect(reason).toMatch(/^[\w.]+: ./)
  const { items } = (await nomaly.request('GET', `/v1/datasets/${name}/series`)).body
  if (good.length === 0) {
    expect(items).toEqual([])
    return
  }
  expect(items).toMatchObject([{ metric: 'm', tags: {} }])
  const { body } = await nomaly.request('GET', `/v1/series/${items[0].id}/points`)
  expect(body.timesMs).toEqual(good.map(({ timeMs }) => timeMs))
  expect(body.values).toEqual(good.map(({ value: number }) => number))
}
