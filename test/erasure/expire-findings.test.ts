import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { DAY_MS } from '../../src/metrics/retention.ts'
import { expireFindings } from '../../src/workflows/expire-findings.ts'
import { openTestStore, type StoreFixture } from '../store/store-fixture.ts'

const NOW = new Date('2026-11-20T12:00:00Z')
const AGES = { week: 7, month: 31, year: 366 } as const

/** A dataset of a class with findings that ended so many days before {@link NOW}; answers its id. */
async function findings(
  { store, scope, admin }: StoreFixture,
  retention: 'forever' | 'year' | 'month' | 'week',
  days: readonly number[],
): Promise<string> {
  const { value: dataset } = await store.transaction(scope, (unit) =>
    unit.datasets.create({ name: retention, retention }),
  )
  const ids = { tenant: scope.tenantId, dataset: dataset.id, job: randomUUID(), detector: randomUUID() }
  await admin(
    `insert into nomaly.detectors (id, tenant_id, name, algorithm, budget_alarms, budget_per_seconds) values ($1, $2, $3, 'ewma', 1, 1)`,
    [ids.detector, ids.tenant, retention],
  )
  await admin(
    `insert into nomaly.jobs (id, tenant_id, name, dataset_id, detector_id, schedule) values ($1, $2, $3, $4, $5, '{"kind":"streaming"}')`,
    [ids.job, ids.tenant, retention, ids.dataset, ids.detector],
  )
  await admin(
    `insert into nomaly.anomalies (tenant_id, job_id, run_id, dataset_id, series_id, metric, tags, started_at, ended_at, detected_at,
       peak_at, observed, expected, lower_bound, upper_bound, score, detected_score, probability, severity, direction, algorithm,
       explanation, ongoing)
     select $1, $2, gen_random_uuid(), $3, 1, 'cpu', '{}', at - interval '90 days', at, at, at, 1, 0, 0, 0, 1, 1, 0, 'low', 'above',
       'ewma', '', false
     from unnest($4::timestamptz[]) at`,
    [ids.tenant, ids.job, ids.dataset, days.map((age) => new Date(NOW.getTime() - age * DAY_MS))],
  )
  return dataset.id
}

async function ages({ store, scope }: StoreFixture, datasetId: string): Promise<number[]> {
  const { items } = await store.read(scope, 'latest').anomalies.list({ datasetId }, { limit: 500 })
  return items.map(({ endedAt }) => (NOW.getTime() - endedAt.getTime()) / DAY_MS)
}

const signal = new AbortController().signal

test('findings go with their class, counted from their end, and the audit log says how many', async () => {
  const fixture = await openTestStore()
  const ids = new Map<string, string>()
  for (const [retention, days] of Object.entries(AGES) as [keyof typeof AGES, number][])
    ids.set(retention, await findings(fixture, retention, [days - 0.001, days + 0.001, days + 500]))
  const forever = await findings(fixture, 'forever', [10_000])

  expect(await expireFindings(fixture.store, NOW, signal)).toBe(6)

  for (const [retention, id] of ids)
    expect(await ages(fixture, id), retention).toEqual([expect.closeTo(AGES[retention as keyof typeof AGES])])
  expect(await ages(fixture, forever)).toEqual([10_000])
  const { items } = await fixture.store.read(fixture.scope, 'latest').audit.list({ limit: 10 })
  expect(
    items.map(({ actor, action, subjectId, detail }) => [actor, action, subjectId, detail['findings']]),
  ).toEqual(expect.arrayContaining([...ids.values()].map((id) => ['system', 'anomaly.expire', id, 2])))
  expect(items).toHaveLength(3)
  expect(await expireFindings(fixture.store, NOW, signal)).toBe(0)
})

test('more than one transaction takes, and of two tenants, all go', async () => {
  const fixture = await openTestStore()
  const many = await findings(
    fixture,
    'week',
    Array.from({ length: 5_001 }, (_, index) => 8 + index / 100_000),
  )
  const { id: tenantId } = await fixture.store.tenants.create('other')
  const other = { ...fixture, scope: { tenantId } }
  await findings(other, 'week', [6, 8])

  expect(await expireFindings(fixture.store, NOW, signal)).toBe(5_002)
  expect(await ages(fixture, many)).toEqual([])
  expect(await fixture.admin('select from nomaly.anomalies')).toHaveLength(1)
})

test('an operator may keep them all', async () => {
  const fixture = await openTestStore()
  const id = await findings(fixture, 'week', [8])
  await fixture.store.liveSettings.operate((desk) =>
    desk.set('finding-retention', 'forever', { actor: 'test' }),
  )
  expect(await expireFindings(fixture.store, NOW, signal)).toBe(0)
  expect(await ages(fixture, id)).toHaveLength(1)
})
