import { parquetReadObjects, parquetMetadata } from 'hyparquet'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { ROW_GROUP_ROWS } from '../../src/exporting/parquet-encoder.ts'
import { NomalyError } from '../../src/errors.ts'
import type { SeriesKey } from '../../src/metrics/metrics-engine.ts'
import { describePoint, makeDataset, makeLong, type Point, START, stored } from './export-fixture.ts'
import { eventually, startTestNomaly, type TestNomaly } from '../support/nomaly.ts'

let nomaly: TestNomaly

beforeAll(async () => {
  nomaly = await startTestNomaly({ worker: false })
})

afterAll(async () => {
  await nomaly[Symbol.asyncDispose]()
})

afterEach(() => {
  vi.restoreAllMocks()
})

test('CSV has a column for each tag where all series have the same, and JSON where they differ', async () => {
  const a = { metric: 'load', tags: { host: 'web, 1', zone: '' } }
  const one = await makeDataset(nomaly, [
    [a, START, 1.5],
    [a, START + 0.25, Number.NaN],
  ])
  const alone = await nomaly.request('GET', `/v1/datasets/${one.name}/export?format=csv`)
  expect(alone.headers.get('content-type')).toMatch(/^text\/csv/)
  expect(alone.headers.get('content-disposition')).toBe(`attachment; filename="${one.name}.csv"`)
  expect(alone.body).toBe(
    'time,metric,value,tags.host,tags.zone\n' +
      '2026-01-01T00:00:00Z,load,1.5,"web, 1",\n' +
      '2026-01-01T00:00:00.000250Z,load,NaN,"web, 1",\n',
  )
  const two = await makeDataset(nomaly, [
    [a, START, 1],
    [{ metric: 'load', tags: {} }, START, 2],
  ])
  const mixed = await nomaly.request('GET', `/v1/datasets/${two.name}/export?format=csv`)
  expect(mixed.body.split('\n').toSorted()).toEqual([
    '',
    '2026-01-01T00:00:00Z,load,1,"{""host"":""web, 1"",""zone"":""""}"',
    '2026-01-01T00:00:00Z,load,2,{}',
    'time,metric,value,tags',
  ])
})

test('a range and a metric can be asked for, and an empty answer is a whole file', async () => {
  const key = (metric: string): SeriesKey => ({ metric, tags: {} })
  const { name: dataset } = await makeDataset(nomaly, [
    [key('a'), START, 1],
    [key('a'), START + 1000, 2],
    [key('b'), START, 3],
  ])
  const ask = async (query: string): Promise<string> =>
    (await nomaly.request('GET', `/v1/datasets/${dataset}/export?format=ndjson&${query}`)).body
  expect((await ask('')).match(/\n/g)).toHaveLength(3)
  expect(await ask('metric=a&from=2026-01-01T00:00:01Z')).toBe(
    '{"time":"2026-01-01T00:00:01Z","metric":"a","tags":{},"value":2}\n',
  )
  expect(await ask('metric=a&to=2026-01-01T00:00:01Z')).toContain('"value":1')
  expect(await ask('metric=c')).toBe('')
  const csv = await nomaly.request('GET', `/v1/datasets/${dataset}/export?metric=c`)
  expect(csv.body).toBe('time,metric,value,tags\n')
  expect((await nomaly.request('GET', `/v1/datasets/${dataset}/export?format=xls`)).status).toBe(400)
  expect((await nomaly.request('GET', `/v1/datasets/${dataset}/export?from=soon`)).body.errors[0].field).toBe(
    'from',
  )
})

test('more points than are held at once come out complete, once each, in order', async () => {
  const dataset = await makeLong(nomaly, 200_000)
  const file = await nomaly.request('GET', `/v1/datasets/${dataset.name}/export?format=ndjson`)
  const lines = (file.body as string).trimEnd().split('\n')
  expect(lines.length).toBe(200_000)
  expect(lines.every((line, i) => line.endsWith(`"value":${i}}`))).toBe(true)
})

test('Parquet has times to the microsecond, tags as JSON and row groups of bounded size', async () => {
  const dataset = await makeLong(nomaly, 150_000)
  const odd: Point = [{ metric: 'odd "x"', tags: { 'a b': 'é😀', c: '' } }, START + 0.001, Number.NaN]
  await nomaly.store.metrics.append(nomaly.tenant, {
    source: { kind: 'dataset', id: dataset.id, retention: 'forever' },
    keys: [odd[0]],
    series: Uint32Array.of(0, 0),
    timesMs: Float64Array.of(odd[1], odd[1] + 1),
    values: Float64Array.of(odd[2], -Infinity),
  })
  const response = await fetch(`${nomaly.url}/v1/datasets/${dataset.name}/export?format=parquet`, {
    headers: { authorization: `Bearer ${nomaly.tenant.key}` },
  })
  const file = await response.arrayBuffer()
  const { row_groups: groups, num_rows: rows } = parquetMetadata(file)
  expect(rows).toBe(150_002n)
  expect(Math.max(...groups.map((group) => Number(group.num_rows)))).toBe(ROW_GROUP_ROWS)
  const objects = await parquetReadObjects({
    file,
    parsers: { timestampFromMicroseconds: (micros) => Number(micros) },
  })
  const read = objects.map(({ time, metric, tags, value: number }) =>
    describePoint([{ metric, tags }, (time as number) / 1000, number]),
  )
  expect(read.toSorted()).toEqual(await stored(nomaly, dataset.id))
})

test('is compressed when that is asked for', async () => {
  const dataset = await makeLong(nomaly, 20_000)
  const size = async (encoding: string): Promise<[string | null, number]> => {
    const response = await fetch(`${nomaly.url}/v1/datasets/${dataset.name}/export?format=csv`, {
      headers: { authorization: `Bearer ${nomaly.tenant.key}`, 'accept-encoding': encoding },
    })
    return [response.headers.get('content-encoding'), (await response.text()).length]
  }
  const [plain, length] = await size('identity')
  expect(plain).toBeNull()
  expect(await size('br, gzip;q=0.5')).toEqual(['gzip', length])
  expect(await size('gzip;q=0')).toEqual([null, length])
})

test.each(['identity', 'gzip'])(
  'what fails after the first byte breaks the connection (%s)',
  async (encoding) => {
    const dataset = await makeLong(nomaly, 150_000)
    const { metrics } = nomaly.store
    const scan = metrics.scan.bind(metrics)
    let calls = 0
    vi.spyOn(metrics, 'scan').mockImplementation((...args) => {
      calls += 1
      if (calls > 1) throw new Error('the database went away')
      return scan(...args)
    })
    const response = await fetch(`${nomaly.url}/v1/datasets/${dataset.name}/export?format=csv`, {
      headers: { authorization: `Bearer ${nomaly.tenant.key}`, 'accept-encoding': encoding },
    })
    expect(response.status).toBe(200)
    await expect(response.text()).rejects.toThrow()
    expect(calls).toBe(2)
  },
)

test('a dataset that is deleted on the way is no success', async () => {
  const dataset = await makeLong(nomaly, 1_000)
  const { metrics } = nomaly.store
  const list = metrics.listSeries.bind(metrics)
  vi.spyOn(metrics, 'listSeries').mockImplementation(async (...args) => {
    const found = await list(...args)
    await nomaly.request('DELETE', `/v1/datasets/${dataset.name}`)
    return found
  })
  // The connection may break before the head of the response is out.
  const answer = fetch(`${nomaly.url}/v1/datasets/${dataset.name}/export?format=ndjson`, {
    headers: { authorization: `Bearer ${nomaly.tenant.key}` },
  }).then((response) => response.text())
  await expect(answer).rejects.toThrow()
})

test('what fails before the first byte is answered with an error', async () => {
  const dataset = await makeLong(nomaly, 1_000)
  vi.spyOn(nomaly.store.metrics, 'scan').mockImplementation(() => {
    throw new NomalyError('unavailable', 'The database is away.')
  })
  for (const format of ['csv', 'ndjson', 'parquet']) {
    const answer = await nomaly.request('GET', `/v1/datasets/${dataset.name}/export?format=${format}`)
    expect(answer.status).toBe(503)
    expect(answer.body.detail).toBe('The database is away.')
  }
})

test('ends with its caller, and gives its place back', async () => {
  const dataset = await makeLong(nomaly, 400_000)
  const { metrics } = nomaly.store
  const scan = vi.spyOn(metrics, 'scan')
  for (let attempt = 0; attempt < 6; attempt++) {
    scan.mockClear()
    const controller = new AbortController()
    const response = await fetch(`${nomaly.url}/v1/datasets/${dataset.name}/export?format=ndjson`, {
      headers: { authorization: `Bearer ${nomaly.tenant.key}`, 'accept-encoding': 'identity' },
      signal: controller.signal,
    })
    expect(response.status).toBe(200)
    await response.body!.getReader().read()
    controller.abort()
    await eventually(async () => scan.mock.calls[0]?.[3]?.aborted)
    expect(scan.mock.calls.length).toBeLessThan(4)
  }
})

test('a reader who stops keeps no connection to the database', async () => {
  const dataset = await makeLong(nomaly, 400_000)
  const controllers = Array.from({ length: 4 }, () => new AbortController())
  const readers = await Promise.all(
    controllers.map(async ({ signal }) => {
      const response = await fetch(`${nomaly.url}/v1/datasets/${dataset.name}/export?format=ndjson`, {
        headers: { authorization: `Bearer ${nomaly.tenant.key}`, 'accept-encoding': 'identity' },
        signal,
      })
      return response.body!.getReader()
    }),
  )
  await Promise.all(readers.map((reader) => reader.read()))
  await eventually(async () => nomaly.store.database.poolUse.waiting === 0 && inUse() === 0)
  const refused = await nomaly.request('GET', `/v1/datasets/${dataset.name}/export`)
  expect(refused.status).toBe(503)
  expect(refused.headers.get('retry-after')).toBe('10')
  for (const controller of controllers) controller.abort()
})

function inUse(): number {
  const { total, idle } = nomaly.store.database.poolUse
  return total - idle
}
