import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestNomaly, type TestNomaly } from '../support/nomaly.ts'

const HOUR_MS = 3_600_000
/** The day on which clocks are put forward in Berlin, which has 23 hours there. */
const SPRING_MS = Date.UTC(2026, 2, 29)

let nomaly: TestNomaly
let ids: number[]

beforeAll(async () => {
  nomaly = await startTestNomaly({ worker: false })
  await nomaly.request('POST', '/v1/datasets', { body: { name: 'numbers' } })
  const lines = Array.from({ length: 96 }, (_, half) =>
    ['cpu', 'memory'].map((metric) =>
      JSON.stringify({
        time: new Date(SPRING_MS - 24 * HOUR_MS + half * (HOUR_MS / 2)).toISOString(),
        metric,
        tags: { host: 'a' },
        value: half,
      }),
    ),
  )
  await nomaly.request('POST', '/v1/datasets/numbers/points', {
    body: lines.flat().join('\n'),
    headers: { 'content-type': 'application/x-ndjson' },
  })
  const { body } = await nomaly.request('GET', '/v1/datasets/numbers/series')
  ids = body.items.map(({ id }: { id: number }) => id)
})
afterAll(() => nomaly?.[Symbol.asyncDispose]())

test('days are those of a time zone', async () => {
  const path = `/v1/series/${ids[0]}/buckets?unit=day&timeZone=Europe/Berlin`
  const { body } = await nomaly.request('GET', path)
  expect(body).toMatchObject({
    unit: 'day',
    timeZone: 'Europe/Berlin',
    count: [46, 46, 4],
    last: [45, 91, 95],
  })
  expect(body.startsMs).toEqual([SPRING_MS - 25 * HOUR_MS, SPRING_MS - HOUR_MS, SPRING_MS + 22 * HOUR_MS])
})

test('series are taken by what they are, and put together', async () => {
  const ask = (body: object) => nomaly.request('POST', '/v1/query', { body })
  const all = await ask({ dataset: 'numbers', bucketSeconds: 86_400, groupBy: 'all' })
  expect(all.body.series).toMatchObject([
    { seriesId: Math.min(...ids), group: '', count: [96, 96], bucketSeconds: 86_400 },
  ])
  const byMetric = await ask({ dataset: 'numbers', unit: 'month', groupBy: 'metric', tags: { host: 'a' } })
  expect(
    byMetric.body.series.map(({ group, count }: { group: string; count: number[] }) => [group, count]),
  ).toEqual([
    ['cpu', [96]],
    ['memory', [96]],
  ])
  const memory = await ask({ dataset: 'numbers', bucketSeconds: 86_400, metric: 'memory' })
  expect(memory.body.series).toHaveLength(1)
  for (const [body, field] of [
    [{ bucketSeconds: 60 }, 'seriesIds'],
    [{ seriesIds: ids, dataset: 'numbers', bucketSeconds: 60 }, 'seriesIds'],
    [{ seriesIds: ids }, 'bucketSeconds'],
    [{ seriesIds: ids, bucketSeconds: 60, unit: 'day' }, 'bucketSeconds'],
    [{ seriesIds: ids, bucketSeconds: 60, timeZone: 'UTC' }, 'timeZone'],
    [{ seriesIds: ids, unit: 'day', timeZone: 'Mars/Olympus' }, 'timeZone'],
  ] as const)
    expect((await ask(body)).body.errors).toMatchObject([{ field }])
})

test('explain says where the answer comes from', async () => {
  const ask = async () =>
    (
      await nomaly.request('POST', '/v1/query', {
        body: { seriesIds: ids, bucketSeconds: 86_400, to: '2026-03-30', explain: true },
      })
    ).body
  expect((await ask()).segments).toMatchObject([{ source: 'raw', reason: 'open' }])
  await nomaly.store.metrics.rollUp(new Date(SPRING_MS + 100 * HOUR_MS))
  expect(await ask()).toMatchObject({
    engine: nomaly.store.metrics.name,
    series: 2,
    segments: [
      { source: 'daily', reason: 'whole', from: '1970-01-01T00:00:00.000Z', to: '2026-03-30T00:00:00.000Z' },
    ],
  })
})

test('a chart has as many points as there is room for', async () => {
  const ask = async (query: string) =>
    (await nomaly.request('GET', `/v1/series/${ids[0]}/points?${query}`)).body
  expect(await ask('maxPoints=96')).toMatchObject({
    reduced: false,
    truncated: false,
    values: Array.from({ length: 96 }, (_, i) => i),
  })
  const few = await ask('maxPoints=10')
  expect(few.reduced).toBe(true)
  expect(few.values.length).toBeLessThanOrEqual(10)
  expect([few.values[0], few.values.at(-1)]).toEqual([0, 95])
  expect(await ask('limit=10')).toMatchObject({
    truncated: true,
    values: Array.from({ length: 10 }, (_, i) => 86 + i),
  })
})

test('it is counted where answers come from', async () => {
  const reads = async (): Promise<number> => {
    const text = await (await fetch(`${nomaly.url}/metrics`)).text()
    const found = [...text.matchAll(/^nomaly_cache_reads_total\{from="\w+"\} (\d+)$/gm)]
    expect(found).toHaveLength(5)
    return found.reduce((sum, [, count]) => sum + Number(count), 0)
  }
  const body = { dataset: 'numbers', unit: 'month', groupBy: 'all' }
  const before = await reads()
  for (let time = 0; time < 3; time++)
    expect((await nomaly.request('POST', '/v1/query', { body })).status).toBe(200)
  expect((await reads()) - before).toBe(3)
})
