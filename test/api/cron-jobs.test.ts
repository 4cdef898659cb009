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

test('a cron job waits, runs when it is due and looks only at what is new', async () => {
  const dataset = await desk.makeDataset(1)
  const cron = { kind: 'cron', cron: '30 4 * * 1', timeZone: 'Europe/Berlin' }
  const job = await desk.post('/v1/jobs', { dataset, schedule: cron }, 201)
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
    const { lastRun } = await desk.get(`/v1/jobs/${job.id}`)
    return lastRun?.status === 'completed' && lastRun
  })
  expect(first).toMatchObject({ seriesTotal: 1, seriesDone: 1, pointsScanned: 1_000, anomaliesFound: 1 })
  expect(await desk.get(`/v1/jobs/${job.id}`)).toMatchObject({ status: 'pending' })
  expect(await dueAt(job.id)).toMatchObject({ hour: 4, minute: 30, weekday: 1 })
  await desk.addPoints(dataset, 1, 1_000, 1_200)
  await makeDue(job.id)
  const second = await eventually(async () => {
    const { lastRun } = await desk.get(`/v1/jobs/${job.id}`)
    return lastRun.id !== first.id && lastRun.status === 'completed' && lastRun
  })
  expect(second).toMatchObject({ pointsScanned: 200, anomaliesFound: 0 })
  expect((await desk.get(`/v1/jobs/${job.id}/runs`)).items).toHaveLength(2)
})

test('a cron job is run by hand, paused and resumed, and in no state runs twice at once', async () => {
  const dataset = await desk.makeDataset(1)
  const job = await desk.post('/v1/jobs', { dataset, schedule: { kind: 'cron', cron: '0 0 1 1 *' } }, 201)
  // Asked for many times at once, it runs once.
  const asked = await Promise.all(
    Array.from({ length: 6 }, () => nomaly.request('POST', `/v1/jobs/${job.id}/runs`)),
  )
  expect(asked.map(({ status }) => status).filter((status) => status === 201).length).toBeGreaterThan(0)
  for (const { status } of asked) expect([201, 409]).toContain(status)
  const created = asked.filter(({ status }) => status === 201)
  await eventually(async () => (await desk.get(`/v1/jobs/${job.id}`)).lastRun.status === 'completed')
  const { items } = await desk.get(`/v1/jobs/${job.id}/runs`)
  expect(items).toHaveLength(created.length)
  // One after the other, never side by side.
  const times = items
    .map(({ createdAt, finishedAt }: Body) => [Date.parse(createdAt), Date.parse(finishedAt)])
    .toReversed()
  for (let i = 1; i < times.length; i++) expect(times[i][0]).toBeGreaterThanOrEqual(times[i - 1][1] - 1)
  expect((await desk.get(`/v1/anomalies?jobId=${job.id}`)).items).toHaveLength(1)

  expect((await desk.post(`/v1/jobs/${job.id}/pause`, undefined, 200)).status).toBe('paused')
  expect(await dueAt(job.id)).toBeUndefined()
  expect((await desk.post(`/v1/jobs/${job.id}/pause`, undefined, 409)).detail).toContain('paused')
  const paused = await desk.post(`/v1/jobs/${job.id}/runs`, undefined, 201)
  await eventually(async () => (await desk.get(`/v1/runs/${paused.id}`)).status === 'completed')
  // One run by hand does not put the schedule back.
  expect((await desk.get(`/v1/jobs/${job.id}`)).status).toBe('paused')
  expect((await desk.post(`/v1/jobs/${job.id}/resume`, undefined, 200)).status).toBe('pending')
  expect(await dueAt(job.id)).toBeDefined()
  expect((await desk.post(`/v1/jobs/${job.id}/resume`, undefined, 409)).detail).toContain('pending')
  expect((await desk.post(`/v1/jobs/${job.id}/cancel`, undefined, 200)).status).toBe('cancelled')
  expect(await dueAt(job.id)).toBeUndefined()
  await desk.post(`/v1/jobs/${job.id}/cancel`, undefined, 409)
})

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
