import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { parsePositions } from '../../src/database/position.ts'
import { untilInRotation, useReplicas } from '../database/replicas/replica-fixture.ts'
import { eventually, startTestNomaly, type TestAnswer, type TestNomaly } from '../support/nomaly.ts'

const fixture = useReplicas(2)
const READ_LAG_MS = 1_000
let nomaly: TestNomaly
let datasets = 0
let dataset: string

beforeAll(async () => {
  nomaly = await startTestNomaly({
    worker: false,
    on: {
      databaseUrl: fixture.databaseUrl,
      database: {
        adminUrl: fixture.primary.adminUrl,
        name: 'postgres',
        drop: async () => {},
        [Symbol.asyncDispose]: async () => {},
      },
    },
    config: {
      databaseReplicaUrls: fixture.replicas.map((replica) => replica.url(fixture.databaseUrl)),
      replicaWaitMs: 100,
      readLagMs: READ_LAG_MS,
      // What is read is what this is about.
      cacheTtlSeconds: 1,
    },
  })
  await untilInRotation(nomaly.store.database, 2)
  await eventually(async () => (await nomaly.request('GET', '/v1/me')).status === 200)
})
afterAll(() => nomaly[Symbol.asyncDispose]())
beforeEach(async () => {
  dataset = `d${++datasets}`
  const made = await nomaly.request('POST', '/v1/datasets', { body: { name: dataset } })
  expect(made.status, JSON.stringify(made.body)).toBe(201)
})

describe('what somebody has written', () => {
  test('is seen by who sends its position back, on standbys that have it', async () => {
    const before = onStandbys()
    for (let value = 0; value < 20; value++) {
      const { headers } = await addPoint(value)
      const position = headers.get('nomaly-position')!
      expect(await values(position)).toEqual(Array.from({ length: value + 1 }, (_, index) => index))
    }
    expect(onStandbys()).toBeGreaterThan(before + 20)
  })

  test('is seen although no standby has it yet', async () => {
    for (const replica of fixture.replicas) await replica.pause()
    try {
      const { headers } = await addPoint(7)
      expect(await values(headers.get('nomaly-position')!)).toEqual([7])
      const renamed = await nomaly.request('PATCH', `/v1/datasets/${dataset}`, {
        body: { description: 'new' },
      })
      const seen = await nomaly.request('GET', `/v1/datasets/${dataset}`, {
        headers: { 'nomaly-read-after': renamed.headers.get('nomaly-position')! },
      })
      expect(seen.body).toMatchObject({ description: 'new', seriesCount: 1 })
    } finally {
      for (const replica of fixture.replicas) await replica.resume()
    }
  })

  test('stays known when something else is written with it', async () => {
    const first = await addPoint(1)
    const position = first.headers.get('nomaly-position')!
    const second = await nomaly.request('PATCH', `/v1/datasets/${dataset}`, {
      body: { description: 'new' },
      headers: { 'nomaly-read-after': `${position},8.1.0/55` },
    })
    const [own, foreign] = parsePositions(second.headers.get('nomaly-position')!)!
    expect(foreign).toEqual({ systemId: '8', timeline: 1, lsn: '0/55' })
    const [before] = parsePositions(position)!
    expect(BigInt(`0x${own!.lsn.replace('/', '')}`)).toBeGreaterThan(
      BigInt(`0x${before!.lsn.replace('/', '')}`),
    )
  })

  test('is seen by the browser that wrote it, which sends nothing', async () => {
    const link = await nomaly.request('POST', '/v1/sign-in-links')
    const signedIn = await nomaly.request('GET', link.body.path, { key: '' })
    const cookie = signedIn.headers.getSetCookie()[0]!.split(';')[0]!
    const browser = { key: '', headers: { cookie, ...OWN } }
    for (const replica of fixture.replicas) await replica.pause()
    try {
      for (let value = 0; value < 3; value++) {
        await addPoint(value, browser)
        expect(await values(undefined, browser)).toHaveLength(value + 1)
      }
    } finally {
      for (const replica of fixture.replicas) await replica.resume()
    }
  })
})

describe('who says nothing', () => {
  test('gets lists and single things as they are now', async () => {
    for (const replica of fixture.replicas) await replica.pause()
    try {
      const name = `${dataset}-late`
      await nomaly.request('POST', '/v1/datasets', { body: { name } })
      const { body } = await nomaly.request('GET', '/v1/datasets?limit=200')
      expect(body.items.map((one: { name: string }) => one.name)).toContain(name)
      expect((await nomaly.request('GET', `/v1/datasets/${name}`)).status).toBe(200)
    } finally {
      for (const replica of fixture.replicas) await replica.resume()
    }
  })

  test('gets metrics from standbys, no older than is set', async () => {
    const before = onStandbys()
    let written = 0
    await eventually(async () => {
      await addPoint(written++)
      return (await values()).length === written && onStandbys() > before
    })
    for (const replica of fixture.replicas) await replica.pause()
    try {
      await addPoint(written++)
      const writtenAt = performance.now()
      for (;;) {
        const askedAt = performance.now()
        const seen = await values()
        if (seen.length === written) break
        expect(askedAt - writtenAt).toBeLessThan(READ_LAG_MS)
      }
    } finally {
      for (const replica of fixture.replicas) await replica.resume()
    }
  })

  test.for(['/buckets?bucketSeconds=3600', '/points', '/points?maxPoints=100'])(
    'reads %s of standbys',
    async (path) => {
      const { headers } = await addPoint(3)
      const seriesId = await findSeries()
      const readAfter = { 'nomaly-read-after': headers.get('nomaly-position')! }
      await eventually(async () => {
        const before = onStandbys()
        const answer = await nomaly.request('GET', `/v1/series/${seriesId}${path}`, { headers: readAfter })
        expect(answer.status).toBe(200)
        return onStandbys() > before
      })
    },
  )

  test('exports from standbys', async () => {
    const { headers } = await addPoint(3)
    const before = onStandbys()
    const answer = await nomaly.request('GET', `/v1/datasets/${dataset}/export?format=ndjson`, {
      headers: { 'nomaly-read-after': headers.get('nomaly-position')! },
    })
    expect(answer.body).toContain('"value":3')
    expect(onStandbys()).toBeGreaterThan(before)
  })
})

test.for(['', 'x', '1:', '1:7.1', '2:7.1.0/5', `1:${Array(9).fill('7.1.0/5').join(',')}`])(
  'a text that is no position is refused by the name of its header: %j',
  async (text) => {
    const answer = await nomaly.request('GET', '/v1/datasets', { headers: { 'nomaly-read-after': text } })
    expect(answer.status).toBe(400)
    expect(answer.body.errors[0]).toMatchObject({ field: 'Nomaly-Read-After' })
  },
)

test('a position of another server has the primary read', async () => {
  const { counts } = nomaly.store.database.replicas!
  const before = counts.primary
  const answer = await nomaly.request('GET', '/v1/detectors', {
    headers: { 'nomaly-read-after': '1:7.1.0/5' },
  })
  expect(answer.status).toBe(200)
  expect(counts.primary).toBeGreaterThan(before)
})

const OWN = { 'sec-fetch-site': 'same-origin' }
const HOUR_MS = 3_600_000

function addPoint(
  value: number,
  how: { key?: string; headers?: Readonly<Record<string, string>> } = {},
): Promise<TestAnswer> {
  return nomaly.request('POST', `/v1/datasets/${dataset}/points`, {
    ...how,
    body: JSON.stringify({ metric: 'm', time: new Date(1_700_000_000_000 + value * HOUR_MS), value }),
    headers: { ...how.headers, 'content-type': 'application/x-ndjson' },
  })
}

async function findSeries(): Promise<number> {
  return (await nomaly.request('GET', `/v1/datasets/${dataset}/series`)).body.items[0].id
}

/** The values of the only series of the dataset, by the hour. */
async function values(
  readAfter?: string,
  how: { key?: string; headers?: Readonly<Record<string, string>> } = {},
): Promise<number[]> {
  const id = await findSeries()
  const answer = await nomaly.request(
    'GET',
    `/v1/series/${id}/buckets?bucketSeconds=3600&from=2023-11-01T00:00:00Z&to=2023-12-31T00:00:00Z`,
    {
      ...how,
      headers: { ...how.headers, ...(readAfter === undefined ? {} : { 'nomaly-read-after': readAfter }) },
    },
  )
  expect(answer.status).toBe(200)
  return answer.body.last
}

function onStandbys(): number {
  return nomaly.store.database.replicas!.report.reduce((sum, { reads }) => sum + reads, 0)
}

test('a standby that is out shows in readyz and in the metrics, and comes back', async () => {
  const [first, second] = fixture.replicas
  const status = async (): Promise<string> => (await nomaly.request('GET', '/readyz')).body.status
  await eventually(async () => (await status()) === 'ready')
  await first!.kill()
  try {
    await eventually(async () => (await status()) === 'degraded')
    const { status: code, body } = await nomaly.request('GET', '/readyz')
    expect(code).toBe(200)
    const check = body.checks.find(({ name }: { name: string }) => name === 'replicas')
    expect(check).toMatchObject({ ok: false })
    expect(check.detail).toContain(`127.0.0.1:${first!.port} is not asked: it does not answer`)
    const { body: metrics } = await nomaly.request('GET', '/metrics')
    const label = (port: number): string => `database="core",replica="127.0.0.1:${port}"`
    expect(metrics).toContain(`nomaly_replica_in_rotation{${label(first!.port)}} 0`)
    expect(metrics).toContain(`nomaly_replica_in_rotation{${label(second!.port)}} 1`)
    expect(metrics).toMatch(/nomaly_database_reads_total\{database="core",place="primary"\} [1-9]/)
    expect(metrics).toContain(`nomaly_replica_lag_seconds{${label(second!.port)}} `)
  } finally {
    await first!.launch()
  }
  await eventually(async () => (await status()) === 'ready')
})
