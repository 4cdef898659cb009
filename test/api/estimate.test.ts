import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { runCli } from '../cli/run-cli.ts'

let nomaly: TestNomaly
let folder: string

beforeAll(async () => {
  nomaly = await startTestNomaly({ worker: false, config: { maxSeriesPerDataset: 500 } })
  folder = await mkdtemp(join(tmpdir(), 'nomaly-estimate-'))
})

afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
  await nomaly[Symbol.asyncDispose]()
})

const ndjson = { 'content-type': 'application/x-ndjson' }
const line = (minute: number, host: string): string =>
  JSON.stringify({ time: 1_750_000_000_000 + minute * 60_000, metric: 'cpu', value: minute, tags: { host } })
const sample = Array.from({ length: 300 }, (_, i) => line(Math.floor(i / 3), `h${i % 3}`)).join('\n')
const exploding = Array.from({ length: 600 }, (_, i) => line(Math.floor(i / 2), `h${i}`)).join('\n')

describe('POST /v1/estimate', () => {
  test('answers from numbers, for the engine in use, with the figures behind it', async () => {
    const { status, body } = await nomaly.request(
      'POST',
      '/v1/estimate?series=100&everySeconds=60&retention=year',
    )
    expect(status).toBe(200)
    expect(body).toMatchObject({
      engine: nomaly.store.metrics.name,
      series: 100,
      pointsPerDay: 144_000,
      rollUpRowsPerDay: 2500,
      retention: 'year',
      disk: { grows: false },
      warnings: [],
    })
    expect(body.disk.full.total).toBe(body.disk.full.points + body.disk.full.rollUps + body.disk.full.names)
    expect(body.figures.length).toBeGreaterThan(4)
    expect(body).not.toHaveProperty('sample')
  })

  test('counts a sample, plain or gzip; numbers that are given count instead; nothing is stored', async () => {
    for (const body of [sample, gzipSync(sample)]) {
      const encoding = typeof body === 'string' ? {} : { 'content-encoding': 'gzip' }
      const answer = await nomaly.request('POST', '/v1/estimate', {
        body,
        headers: { ...ndjson, ...encoding },
      })
      expect(answer).toMatchObject({
        status: 200,
        body: { series: 3, everySeconds: 60, pointsPerDay: 4320, sample: { points: 300, rejectedTotal: 0 } },
      })
    }
    const more = await nomaly.request('POST', '/v1/estimate?series=400', { body: sample, headers: ndjson })
    expect(more.body).toMatchObject({ series: 400, everySeconds: 60, sample: { series: 3 } })
    expect(await nomaly.store.metrics.listSeries(nomaly.tenant, {})).toEqual([])
  })

  test('warns of series that explode, and of more than a dataset may have', async () => {
    const { body } = await nomaly.request('POST', '/v1/estimate?everySeconds=60', {
      body: exploding,
      headers: ndjson,
    })
    expect(body.sample.exploding).toEqual({ field: 'tags.host', values: 600 })
    expect(body.warnings).toEqual([
      expect.stringContaining('tags.host has 600 different values'),
      expect.stringContaining('NOMALY_MAX_SERIES_PER_DATASET'),
    ])
  })

  test('says which number is missing', async () => {
    const missing = async (path: string, body?: string): Promise<string> => {
      const answer = await nomaly.request('POST', path, body === undefined ? {} : { body, headers: ndjson })
      expect(answer.status).toBe(400)
      return answer.body.errors[0].field
    }
    expect(await missing('/v1/estimate')).toBe('series')
    expect(await missing('/v1/estimate?series=3')).toBe('everySeconds')
    expect(await missing('/v1/estimate', '')).toBe('series')
    expect(await missing('/v1/estimate', line(0, 'a'))).toBe('everySeconds')
    expect(await missing('/v1/estimate?series=0&everySeconds=60')).toMatch(/series/)
  })
})

describe('nomaly estimate', () => {
  test('counts a file, asks the server, and prints a table or JSON', async () => {
    const path = join(folder, 'points.ndjson')
    await writeFile(path, exploding)
    const env = { NOMALY_URL: nomaly.url, NOMALY_API_KEY: nomaly.tenant.key }
    const table = await runCli(['estimate', path, '--every', '1m'], { env })
    expect(table).toMatchObject({ code: 0, err: '' })
    expect(table.out).toMatch(/600 series, a point every 60 s: 864,000 points a day/)
    expect(table.out).toContain('tags.host has 600 different values')
    expect(table.out).toContain('NOMALY_MAX_SERIES_PER_DATASET')
    const json = await runCli(['estimate', '--series', '1000', '--every', '60s', '-o', 'json'], { env })
    expect(JSON.parse(json.out)).toMatchObject({ engine: nomaly.store.metrics.name, pointsPerDay: 1_440_000 })
  })

  test('needs no server where the engine is given', async () => {
    const alone = await runCli(['estimate', '-', '--engine', 'timescale', '--retention', 'week'], {
      input: sample,
    })
    expect(alone).toMatchObject({ code: 0, err: '' })
    expect(alone.out).toMatch(/3 series, a point every 60 s.*Kept in timescale, for a week/)
    const wrong = await runCli(['estimate', '--series', '3', '--every', 'often', '--engine', 'timescale'])
    expect(wrong).toMatchObject({ code: 2, err: expect.stringContaining('10s, 5m or 1h') })
  })
})
