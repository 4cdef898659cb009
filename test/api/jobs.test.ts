import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { type Body, JobDesk } from './job-desk.ts'

let nomaly: TestNomaly
let desk: JobDesk

beforeAll(async () => {
  nomaly = await startTestNomaly()
  desk = new JobDesk(nomaly)
})

afterAll(async () => {
  await nomaly[Symbol.asyncDispose]()
})

test('a job that runs once goes from pending to completed, with its progress counted out', async () => {
  const dataset = await desk.makeDataset(3)
  const job = await desk.post('/v1/jobs', { dataset, schedule: { kind: 'once' } }, 201)
  expect(job).toMatchObject({
    name: `${dataset} (once)`,
    datasetName: dataset,
    status: 'pending',
    schedule: { kind: 'once' },
    selector: {},
    detector: { name: 'auto', algorithm: 'auto', budget: { alarms: 1, perSeconds: 604_800 } },
    openAnomalies: 0,
  })
  expect(job.lastRun).toMatchObject({
    jobId: job.id,
    status: 'pending',
    attempt: 0,
    startedAt: null,
    error: null,
  })
  const done = await desk.untilStatus(job.id, 'completed')
  expect(done.lastRun).toMatchObject({
    id: job.lastRun.id,
    status: 'completed',
    attempt: 1,
    seriesTotal: 3,
    seriesDone: 3,
    pointsScanned: 3_000,
    anomaliesFound: 3,
    error: null,
  })
  expect(Date.parse(done.lastRun.finishedAt)).toBeGreaterThanOrEqual(Date.parse(done.lastRun.startedAt))
  expect(done.openAnomalies).toBe(3)
  expect(await desk.get(`/v1/runs/${job.lastRun.id}`)).toEqual(done.lastRun)
})

test('a second run finds the same again, and doubles nothing', async () => {
  const dataset = await desk.makeDataset(2)
  const { id } = await desk.post('/v1/jobs', { dataset, schedule: { kind: 'once' } }, 201)
  await desk.untilStatus(id, 'completed')
  const before = (await desk.get(`/v1/anomalies?jobId=${id}`)).items
  expect(before).toHaveLength(2)
  await desk.post(`/v1/anomalies/${before[0].id}/dismiss`, { note: 'a sale' }, 200)
  const run = await desk.post(`/v1/jobs/${id}/runs`, undefined, 201)
  expect(run.status).toBe('pending')
  const done = await desk.untilStatus(id, 'completed')
  expect(done.lastRun).toMatchObject({
    id: run.id,
    status: 'completed',
    pointsScanned: 2_000,
    anomaliesFound: 0,
  })
  const after = (await desk.get(`/v1/anomalies?jobId=${id}`)).items
  expect(after.map((anomaly: Body) => anomaly.id)).toEqual(before.map((anomaly: Body) => anomaly.id))
  // What somebody said of a finding stays.
  expect(after[0]).toMatchObject({ state: 'dismissed', note: 'a sale' })
  expect(done.openAnomalies).toBe(1)
  const runs = await desk.get(`/v1/jobs/${id}/runs`)
  expect(runs.items.map((one: Body) => one.id)).toEqual([run.id, before[0].runId])
})

test('a selector chooses the series', async () => {
  const dataset = await desk.makeDataset(3)
  for (const [selector, total] of [
    [{ metric: 'metric-1' }, 1],
    [{ tags: { host: 'web' } }, 3],
    [{ metric: 'metric-2', tags: { host: 'web' } }, 1],
    [{ metric: 'none' }, 0],
    [{ tags: { host: 'db' } }, 0],
  ] as const) {
    const { id } = await desk.post('/v1/jobs', { dataset, schedule: { kind: 'once' }, selector }, 201)
    const { lastRun, selector: stored } = await desk.untilStatus(id, 'completed')
    expect(lastRun, JSON.stringify(selector)).toMatchObject({ seriesTotal: total, seriesDone: total })
    expect(stored).toEqual(selector)
  }
})

test.each<[string, object, string]>([
  ['a cron expression of six fields', { schedule: { kind: 'cron', cron: '* * * * * *' } }, 'schedule.cron'],
  [
    'a cron expression of words',
    { schedule: { kind: 'cron', cron: 'each day at noon please' } },
    'schedule.cron',
  ],
  ['a minute that is none', { schedule: { kind: 'cron', cron: '61 * * * *' } }, 'schedule.cron'],
  ['a day that never comes', { schedule: { kind: 'cron', cron: '0 0 31 2 *' } }, 'schedule.cron'],
  [
    'a time zone of no place',
    { schedule: { kind: 'cron', cron: '0 0 * * *', timeZone: 'Mars/Olympus' } },
    'schedule.timeZone',
  ],
  ['no schedule', {}, 'schedule'],
  ['a schedule without a kind', { schedule: {} }, 'schedule'],
  ['a kind that is unknown', { schedule: { kind: 'often' } }, 'schedule'],
  [
    'an algorithm that is unknown',
    { schedule: { kind: 'once' }, detector: { algorithm: 'magic' } },
    'detector.algorithm',
  ],
  [
    'a parameter out of its range',
    { schedule: { kind: 'once' }, detector: { algorithm: 'ewma', parameters: { alpha: 7 } } },
    'parameters.alpha',
  ],
  [
    'a budget of nothing',
    { schedule: { kind: 'once' }, detector: { budget: { alarms: 0, perSeconds: 60 } } },
    'detector.budget.alarms',
  ],
  ['a name that is too long', { schedule: { kind: 'once' }, name: 'x'.repeat(201) }, 'name'],
  ['a field that is unknown', { schedule: { kind: 'once' }, colour: 'red' }, 'colour'],
])('a job is refused for %s, and the field is named', async (_, fields, field) => {
  const dataset = await desk.makeDataset(0)
  const { status, body } = await nomaly.request('POST', '/v1/jobs', { body: { dataset, ...fields } })
  expect(status, JSON.stringify(body)).toBe(400)
  expect(body.errors[0].field).toMatch(new RegExp(`^(detector\\.)?${field.replaceAll('.', '\\.')}`))
  expect(
    (await desk.get('/v1/jobs?limit=500')).items.filter((job: Body) => job.datasetName === dataset),
  ).toEqual([])
})

test('two detectors at once, or one that is not there, are refused', async () => {
  const dataset = await desk.makeDataset(0)
  const detector = await desk.post('/v1/detectors', { name: `of ${dataset}` }, 201)
  const both = { dataset, schedule: { kind: 'once' }, detectorId: detector.id, detector: {} }
  expect((await desk.post('/v1/jobs', both, 400)).errors[0].field).toBe('detector')
  await desk.post(
    '/v1/jobs',
    { ...both, detector: undefined, detectorId: '00000000-0000-0000-0000-000000000000' },
    404,
  )
  await desk.post('/v1/jobs', { dataset: 'none', schedule: { kind: 'once' } }, 404)
  const job = await desk.post(
    '/v1/jobs',
    { dataset, schedule: { kind: 'once' }, detectorId: detector.id },
    201,
  )
  expect(job.detector.id).toBe(detector.id)
  // In use, it stays.
  expect((await nomaly.request('DELETE', `/v1/detectors/${detector.id}`)).status).toBe(409)
})

test('a streaming job follows what arrives, stands still while it is paused, and catches up', async () => {
  const dataset = await desk.makeDataset(1)
  const job = await desk.post('/v1/jobs', { dataset, schedule: { kind: 'streaming' } }, 201)
  await desk.untilScanned(job.id, 1_000)
  expect(await desk.get(`/v1/jobs/${job.id}`)).toMatchObject({
    status: 'running',
    lastRun: { status: 'running', anomaliesFound: 1 },
  })
  await desk.addPoints(dataset, 1, 1_000, 1_100)
  await desk.untilScanned(job.id, 1_100)
  expect((await desk.post(`/v1/jobs/${job.id}/runs`, undefined, 409)).detail).toContain('streaming')
  const paused = await desk.post(`/v1/jobs/${job.id}/pause`, undefined, 200)
  expect(paused).toMatchObject({ status: 'paused', lastRun: { status: 'completed', pointsScanned: 1_100 } })
  await desk.addPoints(dataset, 1, 1_100, 1_200)
  // Nothing is to be waited for: another stream on the same points shows that their time has come.
  const witness = await desk.post('/v1/jobs', { dataset, schedule: { kind: 'streaming' } }, 201)
  await desk.untilScanned(witness.id, 1_200)
  expect((await desk.get(`/v1/jobs/${job.id}`)).lastRun).toMatchObject({
    id: paused.lastRun.id,
    pointsScanned: 1_100,
  })
  await desk.post(`/v1/jobs/${job.id}/resume`, undefined, 200)
  // It goes on where it stood: in a new run, a hundred points.
  await desk.untilScanned(job.id, 100)
  expect((await desk.get(`/v1/anomalies?jobId=${job.id}`)).items).toHaveLength(1)
  expect((await desk.post(`/v1/jobs/${job.id}/cancel`, undefined, 200)).lastRun.status).toBe('cancelled')
})

test('cancelling stops a run under way, and a new run does all of it', { timeout: 60_000 }, async () => {
  const dataset = await desk.makeDataset(200)
  const job = await desk.post('/v1/jobs', { dataset, schedule: { kind: 'once' } }, 201)
  let last = 0
  await eventually(async () => {
    const { seriesDone, seriesTotal } = await desk.get(`/v1/runs/${job.lastRun.id}`)
    expect(seriesDone).toBeGreaterThanOrEqual(last)
    expect(seriesDone).toBeLessThanOrEqual(seriesTotal)
    last = seriesDone
    return seriesDone > 2
  })
  expect((await desk.post(`/v1/jobs/${job.id}/runs`, undefined, 409)).detail).toContain('under way')
  const cancelled = await desk.post(`/v1/jobs/${job.id}/cancel`, undefined, 200)
  expect(cancelled).toMatchObject({ status: 'cancelled', lastRun: { status: 'cancelled', seriesTotal: 200 } })
  expect(cancelled.lastRun.finishedAt).not.toBeNull()
  expect(cancelled.lastRun.seriesDone).toBeLessThan(200)
  const found = (await desk.get(`/v1/anomalies?jobId=${job.id}&limit=500`)).items.length
  expect(found).toBe(cancelled.lastRun.anomaliesFound)
  // The worker has let go of it: its next work is done, and nothing of this one was added.
  const other = await desk.post(
    '/v1/jobs',
    { dataset: await desk.makeDataset(1), schedule: { kind: 'once' } },
    201,
  )
  await desk.untilStatus(other.id, 'completed')
  expect((await desk.get(`/v1/jobs/${job.id}`)).lastRun).toEqual(cancelled.lastRun)
  expect((await desk.get(`/v1/anomalies?jobId=${job.id}&limit=500`)).items).toHaveLength(found)
  await desk.post(`/v1/jobs/${job.id}/runs`, undefined, 201)
  const done = await desk.untilStatus(job.id, 'completed', 40_000)
  expect(done.lastRun).toMatchObject({ seriesDone: 200, pointsScanned: 200_000 })
  expect((await desk.get(`/v1/anomalies?jobId=${job.id}&limit=500`)).items).toHaveLength(200)
})

test('a deleted job takes its runs and findings along, and stops what it does', async () => {
  const dataset = await desk.makeDataset(40)
  const job = await desk.post('/v1/jobs', { dataset, schedule: { kind: 'once' } }, 201)
  const kept = await desk.post(
    '/v1/jobs',
    { dataset, schedule: { kind: 'once' }, selector: { metric: 'metric-0' } },
    201,
  )
  await eventually(async () => (await desk.get(`/v1/runs/${job.lastRun.id}`)).seriesDone > 0)
  const [anomaly] = (await desk.get(`/v1/anomalies?jobId=${job.id}`)).items
  expect((await nomaly.request('DELETE', `/v1/jobs/${job.id}`)).status).toBe(204)
  for (const path of [
    `/v1/jobs/${job.id}`,
    `/v1/jobs/${job.id}/runs`,
    `/v1/runs/${job.lastRun.id}`,
    `/v1/anomalies/${anomaly.id}`,
  ])
    expect((await nomaly.request('GET', path)).status, path).toBe(404)
  expect((await nomaly.request('DELETE', `/v1/jobs/${job.id}`)).status).toBe(404)
  await desk.untilStatus(kept.id, 'completed')
  expect((await desk.get(`/v1/anomalies?jobId=${job.id}`)).items).toEqual([])
  expect((await desk.get(`/v1/datasets/${dataset}`)).seriesCount).toBe(40)
})
