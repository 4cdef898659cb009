import { expect, test } from 'vitest'
import { eventually } from '../support/nomaly.ts'
import { WorkerFixture } from './worker-fixture.ts'

test('progress is visible while a run is under way', async () => {
  const fixture = await WorkerFixture.open()
  await fixture.createDataset('shop')
  for (const metric of ['a', 'b', 'c', 'd']) await fixture.load('shop', metric, 0, 1_000)
  await fixture.slowDown(0.3)
  await fixture.startWorker()
  const jobId = await fixture.createJob('shop')
  const seen: [number, number, number][] = []
  await eventually(async () => {
    const { status, lastRun } = await fixture.job(jobId)
    const { seriesDone, seriesTotal, pointsScanned } = lastRun
    const last = seen.at(-1)
    if (status === 'running' && seriesTotal > 0 && last?.[0] !== seriesDone)
      seen.push([seriesDone, seriesTotal, pointsScanned])
    return status === 'completed'
  })
  expect(seen.length).toBeGreaterThanOrEqual(3)
  for (const [done, total, points] of seen) {
    expect(total).toBe(4)
    expect(points).toBe(done * 1_000)
  }
})

test('cancel stops a run within a checkpoint, and what it had found by then stays', async () => {
  const fixture = await WorkerFixture.open()
  await fixture.createDataset('shop')
  await fixture.load('shop', 'long', 0, 90_000)
  await fixture.slowDown(0.5)
  await fixture.startWorker()
  const jobId = await fixture.createJob('shop')
  await fixture.untilScanned(jobId, 20_000)
  const cancelled = await fixture.ask('POST', `/v1/jobs/${jobId}/cancel`)
  expect(cancelled.status).toBe('cancelled')
  const { pointsScanned } = cancelled.lastRun
  expect(pointsScanned).toBeLessThan(90_000)
  const task = "select state from pgboss.job where name = 'run-detection'"
  await eventually(async () => (await fixture.admin<{ state: string }>(task))[0]?.state === 'completed')
  const { status, lastRun } = await fixture.job(jobId)
  expect(status).toBe('cancelled')
  expect(lastRun).toMatchObject({ status: 'cancelled', pointsScanned })
  // Nothing beyond the last checkpoint before it, neither of what it had learnt nor of what it had found.
  const [state] = await fixture.admin<{ points: number }>(
    "select 1 + (extract(epoch from watermark - '2025-03-03 00:00:00+00') / 60)::int4 as points from nomaly.detector_states",
  )
  expect(state).toEqual({ points: pointsScanned })
  expect(await fixture.findings(jobId)).not.toEqual([])
  // Once more: from the start, to the end.
  await fixture.slowDown(0)
  await fixture.ask('POST', `/v1/jobs/${jobId}/resume`)
  expect((await fixture.untilStatus(jobId, 'completed')).lastRun).toMatchObject({
    pointsScanned: 90_000,
    attempt: 1,
  })
})

test('a job that nobody has taken up yet is cancelled and never runs', async () => {
  const fixture = await WorkerFixture.open()
  await fixture.createDataset('shop')
  await fixture.load('shop', 'a', 0, 1_000)
  const jobId = await fixture.createJob('shop')
  await fixture.ask('POST', `/v1/jobs/${jobId}/cancel`)
  await fixture.startWorker()
  await eventually(
    async () =>
      (await fixture.admin("select from pgboss.job where name = 'run-detection' and state < 'completed'"))
        .length === 0,
  )
  const job = await fixture.job(jobId)
  expect(job).toMatchObject({
    status: 'cancelled',
    lastRun: { status: 'cancelled', attempt: 0, pointsScanned: 0 },
  })
})

test('a run that cannot succeed fails, says what happened and what to do, and can be started again', async () => {
  const fixture = await WorkerFixture.open()
  await fixture.createDataset('shop')
  await fixture.load('shop', 'a', 0, 2_500)
  await fixture.admin(`
    create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'broken on purpose'; end $$;
    create trigger refuse before insert on nomaly.anomalies for each row execute function public.refuse()`)
  await fixture.startWorker()
  const jobId = await fixture.createJob('shop')
  const { lastRun } = await fixture.untilStatus(jobId, 'failed')
  expect(lastRun).toMatchObject({
    status: 'failed',
    error: { message: expect.stringMatching(/\w+/), hint: expect.stringMatching(/log/) },
    finishedAt: expect.any(String),
    anomaliesFound: 0,
  })
  // What is inside the database is nobody's business.
  expect(JSON.stringify(lastRun.error)).not.toContain('broken on purpose')
  await fixture.admin('drop trigger refuse on nomaly.anomalies')
  await fixture.ask('POST', `/v1/jobs/${jobId}/resume`)
  const { lastRun: second } = await fixture.untilStatus(jobId, 'completed')
  expect(second.error).toBeNull()
  expect(second.anomaliesFound).toBeGreaterThan(0)
})

test('a detector whose settings change learns anew from the first point; one that has not goes on', async () => {
  const fixture = await WorkerFixture.open()
  await fixture.createDataset('shop')
  await fixture.load('shop', 'a', 0, 2_500)
  const detector = await fixture.ask('POST', '/v1/detectors', { name: 'mine', algorithm: 'robust-z' })
  await fixture.startWorker()
  const { id: jobId } = await fixture.ask('POST', '/v1/jobs', {
    dataset: 'shop',
    detectorId: detector.id,
    schedule: { kind: 'streaming' },
  })
  await fixture.untilScanned(jobId, 2_500)
  await fixture.load('shop', 'a', 2_500, 2_600)
  expect((await fixture.untilScanned(jobId, 2_600)).pointsScanned).toBe(2_600)
  const before = await fixture.findings(jobId)
  await fixture.ask('PATCH', `/v1/detectors/${detector.id}`, { budget: { alarms: 5, perSeconds: 86_400 } })
  await fixture.load('shop', 'a', 2_600, 2_700)
  // All of them once more, and then only what is new.
  expect((await fixture.untilScanned(jobId, 2_600 + 2_700)).pointsScanned).toBe(5_300)
  const [state] = await fixture.admin<{ state: { settings: { budget: object } } }>(
    'select state from nomaly.detector_states',
  )
  expect(state?.state.settings.budget).toEqual({ alarms: 5, perSeconds: 86_400 })
  await fixture.load('shop', 'a', 2_700, 2_701)
  expect((await fixture.untilScanned(jobId, 5_301)).pointsScanned).toBe(5_301)
  const after = await fixture.findings(jobId)
  const starts = after.map(({ startedAt }) => startedAt)
  expect(new Set(starts).size).toBe(starts.length)
  for (const { startedAt } of before.slice(1)) expect(starts).toContain(startedAt)
})

test('a state of a version that this program does not know is learnt again, and no finding doubled', async () => {
  const fixture = await WorkerFixture.open()
  await fixture.createDataset('shop')
  await fixture.load('shop', 'a', 0, 2_500)
  await fixture.startWorker()
  const jobId = await fixture.createJob('shop', { kind: 'streaming' })
  await fixture.untilScanned(jobId, 2_500)
  const before = await fixture.findings(jobId)
  expect(before.length).toBeGreaterThan(0)
  await fixture.admin(
    "update nomaly.detector_states set state = jsonb_set(state, '{snapshot,version}', '99')",
  )
  await fixture.load('shop', 'a', 2_500, 2_501)
  await fixture.untilScanned(jobId, 2_500 + 2_501)
  expect(await fixture.findings(jobId)).toEqual(before)
  expect((await fixture.job(jobId)).status).toBe('running')
})
