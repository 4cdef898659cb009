import { once } from 'node:events'
import { expect, test } from 'vitest'
import { eventually } from '../support/nomaly.ts'
import { WorkerFixture } from './worker-fixture.ts'

const LONG = 45_000
const SHORT = 2_000

async function loaded(): Promise<WorkerFixture> {
  const fixture = await WorkerFixture.open()
  await fixture.createDataset('shop')
  await fixture.load('shop', 'a', 0, SHORT)
  await fixture.load('shop', 'long', 0, LONG)
  await fixture.load('shop', 'z', 0, SHORT)
  return fixture
}

const TOTAL = LONG + 2 * SHORT

/** What an undisturbed job over the same data ends with, done by whichever worker runs now. */
async function expectAsUndisturbed(fixture: WorkerFixture, jobId: string): Promise<void> {
  await fixture.slowDown(0)
  const undisturbed = await fixture.createJob('shop')
  await fixture.untilStatus(undisturbed, 'completed')
  const expected = await fixture.findings(undisturbed)
  expect(expected.length).toBeGreaterThan(20)
  expect(await fixture.findings(jobId)).toEqual(expected)
}

test('a worker that is killed with -9 in the middle of a series is replaced within seconds, and nothing is doubled', async () => {
  const fixture = await loaded()
  await fixture.slowDown(0.4)
  const doomed = await fixture.spawnWorker()
  const jobId = await fixture.createJob('shop')
  const before = await fixture.untilScanned(jobId, SHORT + 20_000)
  expect(before).toMatchObject({ status: 'running', attempt: 1, seriesTotal: 3, seriesDone: 1 })
  doomed.kill('SIGKILL')
  await once(doomed, 'exit')
  await fixture.startWorker()
  await eventually(async () => (await fixture.job(jobId)).lastRun.attempt === 2, 10_000)
  const { lastRun } = await fixture.untilStatus(jobId, 'completed')
  expect(lastRun).toMatchObject({
    attempt: 2,
    pointsScanned: TOTAL,
    seriesDone: 3,
    seriesTotal: 3,
    error: null,
  })
  await expectAsUndisturbed(fixture, jobId)
})

test('a worker that looks on takes over by itself, without waiting for the heartbeat of the task', async () => {
  const fixture = await loaded()
  await fixture.slowDown(0.4)
  const doomed = await fixture.spawnWorker()
  const jobId = await fixture.createJob('shop')
  await fixture.untilScanned(jobId, SHORT)
  await fixture.startWorker()
  doomed.kill('SIGKILL')
  await once(doomed, 'exit')
  await eventually(async () => (await fixture.job(jobId)).lastRun.attempt > 1, 12_000)
  const { lastRun } = await fixture.untilStatus(jobId, 'completed')
  expect(lastRun).toMatchObject({ pointsScanned: TOTAL, seriesDone: 3 })
})

test('SIGTERM drains: the worker ends at a checkpoint with code 0, and another one finishes', async () => {
  const fixture = await loaded()
  await fixture.slowDown(0.4)
  const leaving = await fixture.spawnWorker()
  const jobId = await fixture.createJob('shop')
  await fixture.untilScanned(jobId, SHORT)
  leaving.kill('SIGTERM')
  const [code] = (await once(leaving, 'exit')) as [number | null]
  expect(code).toBe(0)
  // Whole as it stands: as many points as the stored states say, and no finding behind them.
  const { lastRun: between } = await fixture.job(jobId)
  expect(between.status).toBe('running')
  expect(between.pointsScanned).toBeLessThan(TOTAL)
  const [open] = await fixture.admin<{ transactions: number }>(
    "select count(*)::int4 as transactions from pg_stat_activity where datname = current_database() and state like 'idle in%'",
  )
  expect(open).toEqual({ transactions: 0 })
  const [beyond] = await fixture.admin<{ count: number }>(
    `select count(*)::int4 as count from nomaly.anomalies a
     left join nomaly.detector_states s on s.job_id = a.job_id and s.series_id = a.series_id
     where a.job_id = $1 and (s.watermark is null or a.detected_at > s.watermark)`,
    [jobId],
  )
  expect(beyond).toEqual({ count: 0 })
  await fixture.startWorker()
  const { lastRun } = await fixture.untilStatus(jobId, 'completed')
  expect(lastRun).toMatchObject({ pointsScanned: TOTAL, seriesDone: 3, seriesTotal: 3 })
  await expectAsUndisturbed(fixture, jobId)
})

test('a worker that died between taking the task and marking the run is replaced too', async () => {
  const fixture = await loaded()
  const jobId = await fixture.createJob('shop')
  // What such a worker leaves: the task is active, and nobody works on it.
  await fixture.admin(
    "update pgboss.job set state = 'active', started_on = now() - interval '11 seconds', heartbeat_on = now() where name = 'run-detection'",
  )
  await fixture.startWorker()
  await fixture.untilStatus(jobId, 'completed', 10_000)
})

test('two workers over several jobs: every run is done once', async () => {
  const fixture = await loaded()
  await fixture.startWorker()
  await fixture.startWorker()
  const jobs = await Promise.all(Array.from({ length: 4 }, () => fixture.createJob('shop')))
  for (const id of jobs) {
    const { lastRun } = await fixture.untilStatus(id, 'completed')
    expect(lastRun).toMatchObject({ attempt: 1, pointsScanned: TOTAL, seriesDone: 3 })
  }
  const [first, ...others] = await Promise.all(jobs.map((id) => fixture.findings(id)))
  for (const other of others) expect(other).toEqual(first)
})

test('a run that is repeated finds the same again, and none of it twice', async () => {
  const fixture = await loaded()
  await fixture.startWorker()
  const jobId = await fixture.createJob('shop')
  const { lastRun: first } = await fixture.untilStatus(jobId, 'completed')
  const ids = async (): Promise<string[]> =>
    (await fixture.ask('GET', `/v1/anomalies?jobId=${jobId}&limit=500`)).items.map(
      ({ id }: { id: string }) => id,
    )
  const before = await ids()
  expect(before).toHaveLength(first.anomaliesFound)
  const again = await fixture.ask('POST', `/v1/jobs/${jobId}/runs`)
  await eventually(async () => (await fixture.ask('GET', `/v1/runs/${again.id}`)).status === 'completed')
  expect(await fixture.ask('GET', `/v1/runs/${again.id}`)).toMatchObject({
    pointsScanned: TOTAL,
    anomaliesFound: 0,
  })
  expect(await ids()).toEqual(before)
})
