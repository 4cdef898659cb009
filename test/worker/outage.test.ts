import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { WorkerFixture } from './worker-fixture.ts'

test(
  'a worker whose database is away for some seconds goes on where it was',
  { timeout: 60_000 },
  async () => {
    const fixture = await WorkerFixture.open()
    await fixture.createDataset('shop')
    await fixture.load('shop', 'long', 0, 45_000)
    await fixture.load('shop', 'z', 0, 2_000)
    await fixture.slowDown(0.3)
    const proxy = await TcpProxy.to(fixture.nomaly.databaseUrl)
    onTestFinished(() => proxy[Symbol.asyncDispose]())
    await fixture.startWorker(proxy.url(fixture.nomaly.databaseUrl))
    const jobId = await fixture.createJob('shop')
    await fixture.untilScanned(jobId, 20_000)
    proxy.goAway()
    await sleep(3_000)
    expect((await fixture.job(jobId)).status).toBe('running')
    proxy.comeBack()
    const { lastRun } = await fixture.untilStatus(jobId, 'completed', 40_000)
    expect(lastRun).toMatchObject({ pointsScanned: 47_000, seriesDone: 2, seriesTotal: 2, error: null })
    expect(lastRun.attempt).toBeGreaterThan(1)
    const found = await fixture.findings(jobId)

    // Streams hear of new points again, too.
    await fixture.slowDown(0)
    const stream = await fixture.createJob('shop', { kind: 'streaming' })
    await fixture.untilScanned(stream, 47_000)
    await fixture.load('shop', 'z', 2_000, 2_010)
    await fixture.untilScanned(stream, 47_010)
    const undisturbed = await fixture.createJob('shop')
    await fixture.untilStatus(undisturbed, 'completed')
    const expected = await fixture.findings(undisturbed)
    expect(expected.length).toBeGreaterThan(20)
    expect(await fixture.findings(stream)).toEqual(expected)
    // The last finding of `z` is one that the ten points after it have extended.
    expect(found.slice(0, -1)).toEqual(expected.slice(0, found.length - 1))
  },
)
