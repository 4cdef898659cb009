import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestServer, type TestServer } from '../support/postgres.ts'
import { Replica } from '../support/replica.ts'
import { uniform } from '../support/random.ts'
import { Installation } from './installation.ts'

const MINUTES = 10
const DATASET = 'mixed'
const SERIES = 200
/** Of the time of a point of each series. */
const STEP_MS = 1_000
/** Lanes of one kind of request each wait so long between two. */
const PAUSE_MS = 100
const SAMPLE_MS = 1_000

let primary: TestServer
let replica: Replica
let installation: Installation

beforeAll(async () => {
  primary = await startTestServer({ settings: { synchronous_commit: 'on', wal_keep_size: '256MB' } })
  installation = await Installation.create(undefined, { DATABASE_URL: primary.adminUrl })
  await installation.start()
  await installation.stop()
  await installation[Symbol.asyncDispose]()
  replica = await Replica.follow(primary)
  installation = await Installation.create(undefined, {
    DATABASE_URL: primary.adminUrl,
    DATABASE_REPLICA_URLS: replica.url(primary.adminUrl),
  })
  await installation.start()
}, 180_000)
afterAll(async () => {
  await installation?.[Symbol.asyncDispose]()
  await replica?.[Symbol.asyncDispose]()
  await primary?.[Symbol.asyncDispose]()
})

/** What the installation is like at one moment. */
interface Sample {
  readonly memoryMib: number
  readonly connections: number
  /** Of the standby. */
  readonly replicaLagSeconds: number
  /** Points acknowledged that the streaming job has not looked at. */
  readonly unseenPoints: number
}

test(
  `${MINUTES} minutes of everything at once: no growth of memory, connections or lag`,
  { timeout: (MINUTES + 5) * 60_000 },
  async () => {
    await installation.ask('POST', '/v1/datasets', { name: DATASET })
    await installation.ask('POST', '/v1/flags', { key: 'mixed', type: 'boolean' })
    const { id: jobId } = await installation.ask('POST', '/v1/jobs', {
      dataset: DATASET,
      schedule: { kind: 'streaming' },
    })
    const random = uniform(11)
    let acknowledged = 0
    let next = Date.now()
    const lanes: Record<string, (n: number) => Promise<unknown>> = {
      ingest: async () => {
        const at = next
        next += STEP_MS
        await installation.ask('POST', `/v1/datasets/${DATASET}/points`, points(at, random))
        acknowledged += SERIES
      },
      query: (n) =>
        installation.ask('POST', '/v1/query', {
          dataset: DATASET,
          metric: `m${n % 5}`,
          ...lately(next),
          groupBy: 'all',
        }),
      series: () => installation.ask('GET', `/v1/datasets/${DATASET}/series?limit=50`),
      findings: () => installation.ask('GET', `/v1/anomalies?limit=50`),
      jobs: () => installation.ask('GET', '/v1/jobs?limit=50'),
      flags: (n) => installation.ask('PATCH', '/v1/flags/mixed', { description: `Change ${n}` }),
      evaluate: (n) => installation.ask('POST', '/v1/flags/mixed/evaluate', { targetingKey: `user-${n}` }),
      detect: (n) =>
        installation
          .ask('POST', '/v1/jobs', { dataset: DATASET, name: `batch-${n}`, schedule: { kind: 'once' } })
          .then(() => sleep(20_000)),
    }
    const until = Date.now() + MINUTES * 60_000
    const failures: string[] = []
    const run = async (kind: string): Promise<void> => {
      for (let n = 0; Date.now() < until; n++) {
        await lanes[kind]!(n).catch((error: Error) => failures.push(`${kind}: ${error.message}`))
        await sleep(PAUSE_MS)
      }
    }
    const samples: Sample[] = []
    const watch = async (): Promise<void> => {
      for (; Date.now() < until; await sleep(SAMPLE_MS))
        samples.push(await sample(async () => acknowledged - (await scanned(jobId))))
    }
    await Promise.all([...Object.keys(lanes).map(run), watch()])
    expect(failures).toEqual([])
    expect(acknowledged).toBeGreaterThan(MINUTES * 60 * SERIES)

    const third = Math.floor(samples.length / 3)
    const [, middle, last] = [
      samples.slice(0, third),
      samples.slice(third, 2 * third),
      samples.slice(2 * third),
    ]
    const report = Object.fromEntries(
      (Object.keys(samples[0]!) as (keyof Sample)[]).map((key) => [
        key,
        { middle: typical(middle, key), last: typical(last, key) },
      ]),
    ) as Record<keyof Sample, { middle: number; last: number }>
    process.stdout.write(`${JSON.stringify({ acknowledged, samples: samples.length, ...report })}\n`)
    // What warms up has done so in the first third.
    expect(report.memoryMib.last).toBeLessThan(report.memoryMib.middle * 1.1)
    expect(report.connections.last).toBeLessThanOrEqual(report.connections.middle + 3)
    expect(report.replicaLagSeconds.last).toBeLessThan(Math.max(1, report.replicaLagSeconds.middle * 1.5))
    expect(report.unseenPoints.last).toBeLessThan(Math.max(20 * SERIES, report.unseenPoints.middle * 1.5))
  },
)

/** One instant of all series, as NDJSON, with an outlier now and then. */
function points(timeMs: number, random: () => number): string {
  const time = new Date(timeMs).toISOString()
  return Array.from({ length: SERIES }, (_, n) =>
    JSON.stringify({
      time,
      metric: `m${n % 5}`,
      tags: { host: `h${n}` },
      value: Math.sin(timeMs / 60_000 + n) + random() * 0.2 + (random() < 0.0005 ? 20 : 0),
    }),
  ).join('\n')
}

function lately(nowMs: number): { from: string; to: string; bucketSeconds: number } {
  return {
    from: new Date(nowMs - 3_600_000).toISOString(),
    to: new Date(nowMs).toISOString(),
    bucketSeconds: 60,
  }
}

async function scanned(jobId: string): Promise<number> {
  return (await installation.ask('GET', `/v1/jobs/${jobId}`)).lastRun?.pointsScanned ?? 0
}

async function sample(unseen: () => Promise<number>): Promise<Sample> {
  const status = await readFile(`/proc/${installation.pid}/status`, 'utf8')
  const metrics = await (
    await fetch(`${installation.url}/metrics`, {
      headers: { authorization: `Bearer ${installation.adminKey}` },
    })
  ).text()
  const gauge = (name: string): number =>
    [...metrics.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))].reduce(
      (sum, [, value]) => sum + Number(value),
      0,
    )
  return {
    memoryMib: Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) / 1024,
    connections: gauge('nomaly_database_connections'),
    replicaLagSeconds: gauge('nomaly_replica_lag_seconds'),
    unseenPoints: await unseen(),
  }
}

/** The ninth of ten: one moment of garbage or of a checkpoint is no trend. */
function typical(samples: readonly Sample[], key: keyof Sample): number {
  return samples.map((each) => each[key]).toSorted((a, b) => a - b)[Math.floor(samples.length * 0.9)]!
}
