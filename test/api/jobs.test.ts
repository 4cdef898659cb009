import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, startTestNomaly, type TestAnswer, type TestNomaly } from '../support/nomaly.ts'

const START = 1_767_225_600_000

type Body = TestAnswer['body']

let nomaly: TestNomaly
let made = 0

beforeAll(async () => {
  nomaly = await startTestNomaly()
})

afterAll(async () => {
  await nomaly[Symbol.asyncDispose]()
})

test('a job that runs once goes from pending to completed, with its progress counted out', async () => {
  const dataset = await makeDataset(3)
  const job = await post('/v1/jobs', { dataset, schedule: { kind: 'once' } }, 201)
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
  const done = await untilStatus(job.id, 'completed')
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
  expect(await get(`/v1/runs/${job.lastRun.id}`)).toEqual(done.lastRun)
})

test('a second run finds the same again, and doubles nothing', async () => {
  const dataset = await makeDataset(2)
  const { id } = await post('/v1/jobs', { dataset, schedule: { kind: 'once' } }, 201)
  await untilStatus(id, 'completed')
  const before = (await get(`/v1/anomalies?jobId=${id}`)).items
  expect(before).toHaveLength(2)
  await post(`/v1/anomalies/${before[0].id}/dismiss`, { note: 'a sale' }, 200)
  const run = await post(`/v1/jobs/${id}/runs`, undefined, 201)
  expect(run.status).toBe('pending')
  const done = await untilStatus(id, 'completed')
  expect(done.lastRun).toMatchObject({
    id: run.id,
    status: 'completed',
    pointsScanned: 2_000,
    anomaliesFound: 0,
  })
  const after = (await get(`/v1/anomalies?jobId=${id}`)).items
  expect(after.map((anomaly: Body) => anomaly.id)).toEqual(before.map((anomaly: Body) => anomaly.id))
  // What somebody said of a finding stays.
  expect(after[0]).toMatchObject({ state: 'dismissed', note: 'a sale' })
  expect(done.openAnomalies).toBe(1)
  const runs = await get(`/v1/jobs/${id}/runs`)
  expect(runs.items.map((one: Body) => one.id)).toEqual([run.id, before[0].runId])
})

test('a selector chooses the series', async () => {
  const dataset = await makeDataset(3)
  for (const [selector, total] of [
    [{ metric: 'metric-1' }, 1],
    [{ tags: { host: 'web' } }, 3],
    [{ metric: 'metric-2', tags: { host: 'web' } }, 1],
    [{ metric: 'none' }, 0],
    [{ tags: { host: 'db' } }, 0],
  ] as const) {
    const { id } = await post('/v1/jobs', { dataset, schedule: { kind: 'once' }, selector }, 201)
    const { lastRun, selector: stored } = await untilStatus(id, 'completed')
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
  const dataset = await makeDataset(0)
  const { status, body } = await nomaly.request('POST', '/v1/jobs', { body: { dataset, ...fields } })
  expect(status, JSON.stringify(body)).toBe(400)
  expect(body.errors[0].field).toMatch(new RegExp(`^(detector\\.)?${field.replaceAll('.', '\\.')}`))
  expect((await get('/v1/jobs?limit=500')).items.filter((job: Body) => job.datasetName === dataset)).toEqual(
    [],
  )
})

test('two detectors at once, or one that is not there, are refused', async () => {
  const dataset = await makeDataset(0)
  const detector = await post('/v1/detectors', { name: `of ${dataset}` }, 201)
  const both = { dataset, schedule: { kind: 'once' }, detectorId: detector.id, detector: {} }
  expect((await post('/v1/jobs', both, 400)).errors[0].field).toBe('detector')
  await post(
    '/v1/jobs',
    { ...both, detector: undefined, detectorId: '00000000-0000-0000-0000-000000000000' },
    404,
  )
  await post('/v1/jobs', { dataset: 'none', schedule: { kind: 'once' } }, 404)
  const job = await post('/v1/jobs', { dataset, schedule: { kind: 'once' }, detectorId: detector.id }, 201)
  expect(job.detector.id).toBe(detector.id)
  // In use, it stays.
  expect((await nomaly.request('DELETE', `/v1/detectors/${detector.id}`)).status).toBe(409)
})

test('a cron job waits, runs when it is due and looks only at what is new', async () => {
  const dataset = await makeDataset(1)
  const cron = { kind: 'cron', cron: '30 4 * * 1', timeZone: 'Europe/Berlin' }
  const job = await post('/v1/jobs', { dataset, schedule: cron }, 201)
  expect(job).toMatchObject({
    status: 'pending',
    schedule: cron,
    lastRun: null,
    name: `${dataset} (30 4 * * 1)`,
  })
  const due = await dueAt(job.id)
  expect(due).toMatchObject({ hour: 4, minute: 30, weekday: 1 })
  await makeDue(job.id)
  const first = await eventually(async () => {
    const { lastRun } = await get(`/v1/jobs/${job.id}`)
    return lastRun?.status === 'completed' && lastRun
  })
  expect(first).toMatchObject({ seriesTotal: 1, seriesDone: 1, pointsScanned: 1_000, anomaliesFound: 1 })
  expect(await get(`/v1/jobs/${job.id}`)).toMatchObject({ status: 'pending' })
  expect(await dueAt(job.id)).toMatchObject({ hour: 4, minute: 30, weekday: 1 })
  await addPoints(dataset, 1, 1_000, 1_200)
  await makeDue(job.id)
  const second = await eventually(async () => {
    const { lastRun } = await get(`/v1/jobs/${job.id}`)
    return lastRun.id !== first.id && lastRun.status === 'completed' && lastRun
  })
  expect(second).toMatchObject({ pointsScanned: 200, anomaliesFound: 0 })
  expect((await get(`/v1/jobs/${job.id}/runs`)).items).toHaveLength(2)
})

test('a cron job is run by hand, paused and resumed, and in no state runs twice at once', async () => {
  const dataset = await makeDataset(1)
  const job = await post('/v1/jobs', { dataset, schedule: { kind: 'cron', cron: '0 0 1 1 *' } }, 201)
  // Asked for many times at once, it runs once.
  const asked = await Promise.all(
    Array.from({ length: 6 }, () => nomaly.request('POST', `/v1/jobs/${job.id}/runs`)),
  )
  expect(asked.map(({ status }) => status).filter((status) => status === 201).length).toBeGreaterThan(0)
  for (const { status } of asked) expect([201, 409]).toContain(status)
  const created = asked.filter(({ status }) => status === 201)
  await eventually(async () => (await get(`/v1/jobs/${job.id}`)).lastRun.status === 'completed')
  const { items } = await get(`/v1/jobs/${job.id}/runs`)
  expect(items).toHaveLength(created.length)
  // One after the other, never side by side.
  const times = items
    .map(({ createdAt, finishedAt }: Body) => [Date.parse(createdAt), Date.parse(finishedAt)])
    .toReversed()
  for (let i = 1; i < times.length; i++) expect(times[i][0]).toBeGreaterThanOrEqual(times[i - 1][1] - 1)
  expect((await get(`/v1/anomalies?jobId=${job.id}`)).items).toHaveLength(1)

  expect((await post(`/v1/jobs/${job.id}/pause`, undefined, 200)).status).toBe('paused')
  expect(await dueAt(job.id)).toBeUndefined()
  expect((await post(`/v1/jobs/${job.id}/pause`, undefined, 409)).detail).toContain('paused')
  const paused = await post(`/v1/jobs/${job.id}/runs`, undefined, 201)
  await eventually(async () => (await get(`/v1/runs/${paused.id}`)).status === 'completed')
  // One run by hand does not put the schedule back.
  expect((await get(`/v1/jobs/${job.id}`)).status).toBe('paused')
  expect((await post(`/v1/jobs/${job.id}/resume`, undefined, 200)).status).toBe('pending')
  expect(await dueAt(job.id)).toBeDefined()
  expect((await post(`/v1/jobs/${job.id}/resume`, undefined, 409)).detail).toContain('pending')
  expect((await post(`/v1/jobs/${job.id}/cancel`, undefined, 200)).status).toBe('cancelled')
  expect(await dueAt(job.id)).toBeUndefined()
  await post(`/v1/jobs/${job.id}/cancel`, undefined, 409)
})

test('a streaming job follows what arrives, stands still while it is paused, and catches up', async () => {
  const dataset = await makeDataset(1)
  const job = await post('/v1/jobs', { dataset, schedule: { kind: 'streaming' } }, 201)
  await untilScanned(job.id, 1_000)
  expect(await get(`/v1/jobs/${job.id}`)).toMatchObject({
    status: 'running',
    lastRun: { status: 'running', anomaliesFound: 1 },
  })
  await addPoints(dataset, 1, 1_000, 1_100)
  await untilScanned(job.id, 1_100)
  expect((await post(`/v1/jobs/${job.id}/runs`, undefined, 409)).detail).toContain('streaming')
  const paused = await post(`/v1/jobs/${job.id}/pause`, undefined, 200)
  expect(paused).toMatchObject({ status: 'paused', lastRun: { status: 'completed', pointsScanned: 1_100 } })
  await addPoints(dataset, 1, 1_100, 1_200)
  // Nothing is to be waited for: another stream on the same points shows that their time has come.
  const witness = await post('/v1/jobs', { dataset, schedule: { kind: 'streaming' } }, 201)
  await untilScanned(witness.id, 1_200)
  expect((await get(`/v1/jobs/${job.id}`)).lastRun).toMatchObject({
    id: paused.lastRun.id,
    pointsScanned: 1_100,
  })
  await post(`/v1/jobs/${job.id}/resume`, undefined, 200)
  // It goes on where it stood: in a new run, a hundred points.
  await untilScanned(job.id, 100)
  expect((await get(`/v1/anomalies?jobId=${job.id}`)).items).toHaveLength(1)
  expect((await post(`/v1/jobs/${job.id}/cancel`, undefined, 200)).lastRun.status).toBe('cancelled')
})

test('cancelling stops a run under way, and a new run does all of it', { timeout: 60_000 }, async () => {
  const dataset = await makeDataset(200)
  const job = await post('/v1/jobs', { dataset, schedule: { kind: 'once' } }, 201)
  let last = 0
  await eventually(async () => {
    const { seriesDone, seriesTotal } = await get(`/v1/runs/${job.lastRun.id}`)
    expect(seriesDone).toBeGreaterThanOrEqual(last)
    expect(seriesDone).toBeLessThanOrEqual(seriesTotal)
    last = seriesDone
    return seriesDone > 2
  })
  expect((await post(`/v1/jobs/${job.id}/runs`, undefined, 409)).detail).toContain('under way')
  const cancelled = await post(`/v1/jobs/${job.id}/cancel`, undefined, 200)
  expect(cancelled).toMatchObject({ status: 'cancelled', lastRun: { status: 'cancelled', seriesTotal: 200 } })
  expect(cancelled.lastRun.finishedAt).not.toBeNull()
  expect(cancelled.lastRun.seriesDone).toBeLessThan(200)
  const found = (await get(`/v1/anomalies?jobId=${job.id}&limit=500`)).items.length
  expect(found).toBe(cancelled.lastRun.anomaliesFound)
  // The worker has let go of it: its next work is done, and nothing of this one was added.
  const other = await post('/v1/jobs', { dataset: await makeDataset(1), schedule: { kind: 'once' } }, 201)
  await untilStatus(other.id, 'completed')
  expect((await get(`/v1/jobs/${job.id}`)).lastRun).toEqual(cancelled.lastRun)
  expect((await get(`/v1/anomalies?jobId=${job.id}&limit=500`)).items).toHaveLength(found)
  await post(`/v1/jobs/${job.id}/runs`, undefined, 201)
  const done = await untilStatus(job.id, 'completed', 40_000)
  expect(done.lastRun).toMatchObject({ seriesDone: 200, pointsScanned: 200_000 })
  expect((await get(`/v1/anomalies?jobId=${job.id}&limit=500`)).items).toHaveLength(200)
})

test('a deleted job takes its runs and findings along, and stops what it does', async () => {
  const dataset = await makeDataset(40)
  const job = await post('/v1/jobs', { dataset, schedule: { kind: 'once' } }, 201)
  const kept = await post(
    '/v1/jobs',
    { dataset, schedule: { kind: 'once' }, selector: { metric: 'metric-0' } },
    201,
  )
  await eventually(async () => (await get(`/v1/runs/${job.lastRun.id}`)).seriesDone > 0)
  const [anomaly] = (await get(`/v1/anomalies?jobId=${job.id}`)).items
  expect((await nomaly.request('DELETE', `/v1/jobs/${job.id}`)).status).toBe(204)
  for (const path of [
    `/v1/jobs/${job.id}`,
    `/v1/jobs/${job.id}/runs`,
    `/v1/runs/${job.lastRun.id}`,
    `/v1/anomalies/${anomaly.id}`,
  ])
    expect((await nomaly.request('GET', path)).status, path).toBe(404)
  expect((await nomaly.request('DELETE', `/v1/jobs/${job.id}`)).status).toBe(404)
  await untilStatus(kept.id, 'completed')
  expect((await get(`/v1/anomalies?jobId=${job.id}`)).items).toEqual([])
  expect((await get(`/v1/datasets/${dataset}`)).seriesCount).toBe(40)
})

async function get(path: string): Promise<Body> {
  const { body } = await nomaly.request('GET', path)
  return body
}

async function post(path: string, body: unknown, status: number): Promise<Body> {
  const answer = await nomaly.request('POST', path, body === undefined ? {} : { body })
  expect(answer.status, `${path} ${JSON.stringify(answer.body)}`).toBe(status)
  return answer.body
}

/** A dataset with some series of a thousand points, each with one spike. */
async function makeDataset(series: number): Promise<string> {
  const name = `data-${(made += 1)}`
  await post('/v1/datasets', { name }, 201)
  if (series > 0) await addPoints(name, series, 0, 1_000)
  return name
}

async function addPoints(dataset: string, series: number, from: number, to: number): Promise<void> {
  const lines: string[] = []
  for (let s = 0; s < series; s++)
    for (let i = from; i < to; i++) {
      const value = i === 900 ? 1_000 : 100 + ((i * 7919) % 13)
      lines.push(
        `{"time":${START + i * 60_000},"metric":"metric-${s}","tags":{"host":"web"},"value":${value}}`,
      )
    }
  const { status, body } = await nomaly.request('POST', `/v1/datasets/${dataset}/points`, {
    body: lines.join('\n'),
    headers: { 'content-type': 'application/x-ndjson' },
  })
  expect(status).toBe(200)
  expect(body.inserted).toBe(lines.length)
}

async function untilStatus(id: string, status: string, timeoutMs = 20_000): Promise<Body> {
  return eventually(async () => {
    const job = await get(`/v1/jobs/${id}`)
    return job.status === status && job.lastRun.status === status && job
  }, timeoutMs)
}

async function untilScanned(id: string, points: number): Promise<void> {
  await eventually(async () => {
    const { lastRun } = await get(`/v1/jobs/${id}`)
    return lastRun?.status === 'running' && lastRun.pointsScanned === points
  })
}

/** When the job is due next, on the clock of Berlin. */
async function dueAt(id: string): Promise<{ hour: number; minute: number; weekday: number } | undefined> {
  const { value } = await nomaly.store.database.transaction({ role: 'nomaly_system' }, (connection) =>
    connection.query<{ due: boolean; hour: number; minute: number; weekday: number }>(
      `select next_run_at > now() as due, extract(hour from local)::int as hour, extract(minute from local)::int as minute,
              extract(dow from local)::int as weekday
       from nomaly.jobs, lateral (select next_run_at at time zone 'Europe/Berlin' as local) l
       where id = $1 and next_run_at is not null`,
      [id],
    ),
  )
  if (value[0] === undefined) return undefined
  expect(value[0].due).toBe(true)
  return value[0]
}

/** As if the time had come. */
async function makeDue(id: string): Promise<void> {
  await nomaly.store.database.transaction({ role: 'nomaly_system' }, (connection) =>
    connection.query(`update nomaly.jobs set next_run_at = now() - interval '1 minute' where id = $1`, [id]),
  )
}
