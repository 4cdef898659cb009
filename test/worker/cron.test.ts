import { expect, test } from 'vitest'
import { startDueRuns } from '../../src/workflows/schedule-runs.ts'
import type { JsonAnswer } from '../support/json-answer.ts'
import { eventually } from '../support/nomaly.ts'
import { WorkerFixture } from './worker-fixture.ts'

const EVERY_HOUR = { kind: 'cron', cron: '0 * * * *' }

async function runsOf(fixture: WorkerFixture, jobId: string): Promise<JsonAnswer[]> {
  return (await fixture.ask('GET', `/v1/jobs/${jobId}/runs?limit=100`)).items
}

async function dueAt(fixture: WorkerFixture, jobId: string): Promise<Date | null> {
  const [job] = await fixture.admin<{ at: Date | null }>(
    'select next_run_at as at from nomaly.jobs where id = $1',
    [jobId],
  )
  return job!.at
}

test('a job that is due starts exactly once, however many look at the same time', async () => {
  const fixture = await WorkerFixture.open()
  await fixture.createDataset('shop')
  const jobId = await fixture.createJob('shop', EVERY_HOUR)
  expect(await runsOf(fixture, jobId)).toEqual([])
  const due = (await dueAt(fixture, jobId))!
  const { store } = fixture.nomaly
  const failures: unknown[] = []
  const look = (at: Date): Promise<number> => startDueRuns(store, at, (error) => failures.push(error))
  expect(await look(new Date(due.getTime() - 1))).toBe(0)
  const started = await Promise.all(Array.from({ length: 5 }, () => look(due)))
  expect(started.reduce((sum, count) => sum + count)).toBe(1)
  expect(await runsOf(fixture, jobId)).toHaveLength(1)
  expect(await dueAt(fixture, jobId)).toEqual(new Date(due.getTime() + 3_600_000))
  // The next time, while that run has not ended: it is skipped, not piled up.
  expect(await look(new Date(due.getTime() + 3_600_000))).toBe(0)
  expect(await runsOf(fixture, jobId)).toHaveLength(1)
  expect(failures).toEqual([])
})

test('with two workers that look, a time that came while nobody did is made up for by one run', async () => {
  const fixture = await WorkerFixture.open()
  await fixture.createDataset('shop')
  await fixture.load('shop', 'a', 0, 2_500)
  const jobId = await fixture.createJob('shop', EVERY_HOUR)
  await fixture.admin("update nomaly.jobs set next_run_at = now() - interval '7 hours'")
  await Promise.all([fixture.startWorker(), fixture.startWorker()])
  const { lastRun } = await eventually(async () => {
    const job = await fixture.job(jobId)
    return job.lastRun?.status === 'completed' && job
  })
  expect(lastRun).toMatchObject({ pointsScanned: 2_500, attempt: 1 })
  expect((await fixture.job(jobId)).status).toBe('pending')
  expect((await dueAt(fixture, jobId))!.getTime()).toBeGreaterThan(Date.now())
  const found = await fixture.findings(jobId)
  expect(found.length).toBeGreaterThan(0)

  // The next run goes on where this one ended.
  await fixture.load('shop', 'a', 2_500, 2_600)
  await fixture.admin('update nomaly.jobs set next_run_at = now()')
  await eventually(
    async () => (await runsOf(fixture, jobId)).filter(({ status }) => status === 'completed').length === 2,
  )
  const runs = await runsOf(fixture, jobId)
  expect(runs).toHaveLength(2)
  expect(runs[0]).toMatchObject({ pointsScanned: 100, seriesDone: 1, seriesTotal: 1 })
  expect((await fixture.findings(jobId)).slice(0, found.length)).toEqual(found)
})

test('a paused schedule starts nothing, a run by hand does not wake it, and resumed it is due at its next time', async () => {
  const fixture = await WorkerFixture.open()
  await fixture.createDataset('shop')
  await fixture.load('shop', 'a', 0, 500)
  await fixture.startWorker()
  const jobId = await fixture.createJob('shop', EVERY_HOUR)
  await fixture.ask('POST', `/v1/jobs/${jobId}/pause`)
  expect(await dueAt(fixture, jobId)).toBeNull()
  const run = await fixture.ask('POST', `/v1/jobs/${jobId}/runs`)
  await eventually(async () => (await fixture.ask('GET', `/v1/runs/${run.id}`)).status === 'completed')
  expect((await fixture.job(jobId)).status).toBe('paused')
  await fixture.ask('POST', `/v1/jobs/${jobId}/resume`)
  expect((await dueAt(fixture, jobId))!.getTime()).toBeGreaterThan(Date.now())
  expect((await fixture.job(jobId)).status).toBe('pending')
})

test('of two who ask for a run at once, one gets it and the other is told of it', async () => {
  const fixture = await WorkerFixture.open()
  await fixture.createDataset('shop')
  const jobId = await fixture.createJob('shop', EVERY_HOUR)
  const answers = await Promise.all(
    Array.from({ length: 4 }, () => fixture.nomaly.request('POST', `/v1/jobs/${jobId}/runs`)),
  )
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 409, 409, 409])
  expect(await runsOf(fixture, jobId)).toHaveLength(1)
})
