import { expect, test } from 'vitest'
import { advanceStream } from '../../src/workflows/advance-stream.ts'
import { eventually } from '../support/nomaly.ts'
import { WorkerFixture } from './worker-fixture.ts'

async function expectAsBatch(fixture: WorkerFixture, jobId: string): Promise<void> {
  const batch = await fixture.createJob('shop')
  await fixture.untilStatus(batch, 'completed')
  const expected = await fixture.findings(batch)
  expect(expected.length).toBeGreaterThan(2)
  expect(await fixture.findings(jobId)).toEqual(expected)
}

test('a stream goes on after pause and resume: nothing doubled, nothing left out', async () => {
  const fixture = await WorkerFixture.open()
  await fixture.createDataset('shop')
  await fixture.startWorker()
  const jobId = await fixture.createJob('shop', { kind: 'streaming' })
  await fixture.load('shop', 'a', 0, 3_100)
  await fixture.untilScanned(jobId, 3_100)
  const paused = await fixture.ask('POST', `/v1/jobs/${jobId}/pause`)
  expect(paused).toMatchObject({ status: 'paused', lastRun: { status: 'completed', pointsScanned: 3_100 } })
  await fixture.load('shop', 'a', 3_100, 5_300)
  await eventually(
    async () =>
      (await fixture.admin("select from pgboss.job where name = 'advance-stream' and state < 'completed'"))
        .length === 0,
  )
  expect((await fixture.job(jobId)).lastRun.pointsScanned).toBe(3_100)
  await fixture.ask('POST', `/v1/jobs/${jobId}/resume`)
  expect((await fixture.untilScanned(jobId, 2_200)).pointsScanned).toBe(2_200)
  await fixture.load('shop', 'a', 5_300, 5_400)
  expect((await fixture.untilScanned(jobId, 2_300)).pointsScanned).toBe(2_300)
  await expectAsBatch(fixture, jobId)
})

test('two workers on one stream: every point counts once, whoever is faster', async () => {
  const fixture = await WorkerFixture.open()
  await fixture.createDataset('shop')
  const [one, two] = [await fixture.startWorker(), await fixture.startWorker()]
  const jobId = await fixture.createJob('shop', { kind: 'streaming' })
  for (let from = 0; from < 4_000; from += 250) {
    await fixture.load('shop', 'a', from, from + 250)
    await fixture.load('shop', 'b', from, from + 250)
  }
  expect((await fixture.untilScanned(jobId, 8_000)).pointsScanned).toBe(8_000)
  expect(one.worker.id).not.toBe(two.worker.id)
  await expectAsBatch(fixture, jobId)
})

test('points that come while another worker stores what it saw before are not left to the clock', async () => {
  const fixture = await WorkerFixture.open()
  await fixture.createDataset('shop')
  await fixture.load('shop', 'a', 0, 2_000)
  await fixture.load('shop', 'b', 0, 2_000)
  const jobId = await fixture.createJob('shop', { kind: 'streaming' })
  const { store, tenant } = fixture.nomaly
  const advance = (workerId: string): Promise<void> =>
    advanceStream({ store, scope: tenant, jobId, workerId, signal: new AbortController().signal })
  await advance('one')
  await fixture.slowDown(0.5)
  await fixture.load('shop', 'a', 2_000, 2_100)
  const first = advance('one')
  // It has looked by now, and is storing what it saw.
  const storing = "select from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
  await eventually(async () => (await fixture.admin(storing)).length > 0)
  await fixture.load('shop', 'a', 2_100, 2_200)
  await fixture.load('shop', 'b', 2_000, 2_100)
  await Promise.all([first, advance('two')])
  expect((await fixture.job(jobId)).lastRun.pointsScanned).toBe(4_300)
})

test('a stream whose worker is told to stop is taken on by another one', async () => {
  const fixture = await WorkerFixture.open()
  await fixture.createDataset('shop')
  await fixture.load('shop', 'a', 0, 2_000)
  await fixture.startWorker()
  const leaving = await fixture.spawnWorker()
  const jobId = await fixture.createJob('shop', { kind: 'streaming' })
  await fixture.untilScanned(jobId, 2_000)
  await fixture.slowDown(0.5)
  await fixture.load('shop', 'a', 2_000, 2_100)
  leaving.kill('SIGTERM')
  expect((await fixture.untilScanned(jobId, 2_100, 15_000)).pointsScanned).toBe(2_100)
})
