import { describe, expect, test } from 'vitest'
import { parsePoints } from '../../src/ingestion/parse-points.ts'
import type { PointFormat } from '../../src/ingestion/parsed-points.ts'
import { type PointSurvey, surveyPoints } from '../../src/ingestion/survey-points.ts'

function survey(format: PointFormat, text: string): Promise<PointSurvey> {
  async function* bytes(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(text)
  }
  return surveyPoints(parsePoints(format, bytes(), { maxSeries: 1_000_000 }))
}

const line = (seconds: number, metric: string, tags: Record<string, string>): string =>
  JSON.stringify({ time: 1_750_000_000_000 + seconds * 1000, metric, value: 1, tags })

describe('surveying a sample', () => {
  test('counts series and the interval between their points, over chunks, in any order of rows', async () => {
    const rows = []
    for (let host = 0; host < 100; host++)
      for (let i = 0; i < 240; i++) rows.push(line(i * 15, 'cpu', { host: `h${host}` }))
    const expected = { points: 24_000, series: 100, everySeconds: 15, rejectedTotal: 0 }
    for (const ordered of [rows, rows.toReversed(), rows.toSorted()]) {
      const found = await survey('ndjson', ordered.join('\n'))
      expect(found).toMatchObject(expected)
      expect(found.exploding).toBeUndefined()
    }
  })

  test('names the tag that explodes', async () => {
    const rows = Array.from({ length: 30_000 }, (_, i) =>
      line(i, 'latency', { host: `h${i % 5}`, request: `r${Math.floor(i / 3)}` }),
    )
    const found = await survey('ndjson', rows.join('\n'))
    expect(found.exploding).toEqual({ field: 'tags.request', values: 10_000 })
  })

  test('many series at one instant are no explosion, and have no interval', async () => {
    const rows = Array.from({ length: 1000 }, (_, i) => line(0, 'cpu', { host: `h${i}` }))
    const found = await survey('ndjson', rows.join('\n'))
    expect(found).toMatchObject({ series: 1000 })
    expect(found).not.toHaveProperty('everySeconds')
    expect(found).not.toHaveProperty('exploding')
  })

  test('takes CSV, counts lines that cannot be read, and stands an empty input', async () => {
    const csv = 'time,host,cpu,memory\n2026-01-01T00:00:00Z,a,1,2\n2026-01-01T00:01:00Z,a,1,2\nnever,a,1,2\n'
    expect(await survey('csv', csv)).toMatchObject({
      points: 4,
      series: 2,
      everySeconds: 60,
      rejectedTotal: 1,
    })
    expect(await survey('ndjson', '')).toEqual({ points: 0, series: 0, nameBytes: 0, rejectedTotal: 0 })
  })
})
