import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { NomalyError } from '../../src/errors.ts'
import type { PointBatch, SeriesKey } from '../../src/metrics/metrics-engine.ts'
import { eventually, startTestNomaly, type TestNomaly, type TestTenant } from '../support/nomaly.ts'

const LIMIT = 640
const START = Date.UTC(2026, 0, 1)

let nomaly: TestNomaly
let made = 0

beforeAll(async () => {
  nomaly = await startTestNomaly({ worker: false, config: { maxSeriesPerDataset: LIMIT } })
})

afterAll(async () => {
  await nomaly[Symbol.asyncDispose]()
})

async function makeDataset(tenant: TestTenant = nomaly.tenant): Promise<string> {
  const { body } = await nomaly.request('POST', '/v1/datasets', {
    key: tenant.key,
    body: { name: `limited-${(made += 1)}` },
  })
  return body.id
}

const keys = (count: number, prefix = 'user'): SeriesKey[] =>
  Array.from({ length: count }, (_, i) => ({
    metric: `m${i % 3}`,
    tags: { host: `h${i % 7}`, user: `${prefix}-${i}` },
  }))

function batch(id: string, series: readonly SeriesKey[], timeMs = START): PointBatch {
  return {
    source: { kind: 'dataset', id, retention: 'forever' },
    keys: series,
    series: Uint32Array.from(series.keys()),
    timesMs: new Float64Array(series.length).fill(timeMs),
    values: new Float64Array(series.length),
  }
}

async function counts(id: string, { tenantId }: TestTenant = nomaly.tenant): Promise<number> {
  return (await nomaly.store.metrics.summaries({ tenantId }, [id])).get(id)?.count ?? 0
}

test('an append beyond the limit is refused whole, and the tag that explodes is named', async () => {
  const { metrics } = nomaly.store
  const id = await makeDataset()
  await metrics.append(nomaly.tenant, batch(id, keys(600)))
  const error = (await metrics
    .append(nomaly.tenant, batch(id, [...keys(1), ...keys(41, 'visitor')], START + 1000))
    .catch((reason: unknown) => reason)) as NomalyError
  expect(error).toMatchObject({
    code: 'too_large',
    problems: [{ field: 'tags.user', reason: 'has 41 different values among the new series' }],
  })
  expect(error.message).toBe('The dataset would have more than 640 series: 41 new ones come to 600.')
  expect(error.hint).toContain('NOMALY_MAX_SERIES_PER_DATASET')
  expect(await counts(id)).toBe(600)
  const { value } = await metrics.append(nomaly.tenant, batch(id, keys(1), START + 1000))
  expect(value.inserted).toBe(1)
  await metrics.append(nomaly.tenant, batch(id, keys(40, 'visitor')))
  expect(await counts(id)).toBe(LIMIT)
  // What is there can still be written, and read.
  const again = await metrics.append(
    nomaly.tenant,
    batch(id, [...keys(600), ...keys(40, 'visitor')], START + 2000),
  )
  expect(again.value.inserted).toBe(LIMIT)
  await expect(metrics.correct(nomaly.tenant, batch(id, keys(1, 'late')))).rejects.toMatchObject({
    code: 'too_large',
  })
})

test('over HTTP it is 413, and a metric may be what explodes', async () => {
  const id = await makeDataset()
  const points = Array.from({ length: LIMIT + 1 }, (_, i) => ({ time: START, metric: `id-${i}`, value: 1 }))
  const answer = await nomaly.request('POST', `/v1/datasets/${id}/points`, { body: points })
  expect(answer.status).toBe(413)
  expect(answer.body.errors).toEqual([
    { field: 'metric', reason: 'has 641 different values among the new series' },
  ])
  expect(await counts(id)).toBe(0)
})

test('appends at the same time do not exceed it together, nor refuse what fits', async () => {
  for (const size of [10, 70, 200]) {
    const id = await makeDataset()
    const outcomes = await Promise.allSettled(
      Array.from({ length: 24 }, (_, i) =>
        nomaly.store.metrics.append(nomaly.tenant, batch(id, keys(size, `writer-${i}`))),
      ),
    )
    const stored = outcomes.filter(({ status }) => status === 'fulfilled').length
    expect(stored).toBe(Math.min(24, Math.floor(LIMIT / size)))
    expect(await counts(id)).toBe(stored * size)
  }
})

test('who makes the same series at the same time is not counted twice', async () => {
  const id = await makeDataset()
  const outcomes = await Promise.all(
    Array.from({ length: 6 }, (_, i) =>
      nomaly.store.metrics.append(nomaly.tenant, batch(id, keys(LIMIT), START + i)),
    ),
  )
  expect(outcomes.map(({ value }) => value.inserted)).toEqual(Array.from({ length: 6 }, () => LIMIT))
  expect(await counts(id)).toBe(LIMIT)
})

test('what one tenant explodes holds nobody else up, nor what it has already', async () => {
  const other = await nomaly.createTenant('calm')
  const [mine, theirs] = [await makeDataset(), await makeDataset(other)]
  await nomaly.store.metrics.append(nomaly.tenant, batch(mine, keys(500)))
  const admin = new pg.Client({ connectionString: nomaly.database.adminUrl })
  await admin.connect()
  try {
    // As a writer does that makes series, and does not come to its end.
    await admin.query(
      `begin; select pg_advisory_xact_lock(hashtextextended('nomaly metrics new series ${mine}', 0))`,
    )
    const waiting = nomaly.store.metrics.append(nomaly.tenant, batch(mine, keys(100, 'new')))
    await eventually(async () => {
      const { rowCount } = await admin.query(
        "select from pg_locks where locktype = 'advisory' and not granted",
      )
      return rowCount === 1
    })
    // A flood of what can only be refused waits for nobody, and so leaves connections to others.
    const flood = Array.from({ length: 50 }, (_, i) =>
      nomaly.store.metrics.append(nomaly.tenant, batch(mine, keys(300, `flood-${i}`))),
    )
    const calm = Array.from({ length: 10 }, (_, i) =>
      nomaly.store.metrics.append({ tenantId: other.tenantId }, batch(theirs, keys(20, `calm-${i}`))),
    )
    const known = nomaly.store.metrics.append(nomaly.tenant, batch(mine, keys(500), START + 1000))
    expect((await Promise.allSettled(flood)).every(({ status }) => status === 'rejected')).toBe(true)
    expect((await Promise.all(calm)).map(({ value }) => value.inserted)).toEqual(
      Array.from({ length: 10 }, () => 20),
    )
    expect((await known).value.inserted).toBe(500)
    await admin.query('commit')
    expect((await waiting).value.inserted).toBe(100)
    expect([await counts(mine), await counts(theirs, other)]).toEqual([600, 200])
  } finally {
    await admin.end()
  }
})
