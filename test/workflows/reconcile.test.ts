import { setTimeout as sleep } from 'node:timers/promises'
import { Writable } from 'node:stream'
import pg from 'pg'
import { pino } from 'pino'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createProcessMetrics } from '../../src/telemetry/process-metrics.ts'
import { reconcileReporter } from '../../src/worker/reconcile-report.ts'
import { reconcile, type ReconcileReport } from '../../src/workflows/reconcile.ts'
import { ask } from '../support/apart.ts'
import { eventually } from '../support/nomaly.ts'
import { ReconcileFixture } from './reconcile-fixture.ts'

const NOTHING = { sources: 0, detectorStates: 0 }
const CLEAN: ReconcileReport = { found: NOTHING, removed: NOTHING, doubts: [] }

describe.each(['one database', 'two databases'] as const)('with %s', (how) => {
  test('points of a dataset that is gone go after an hour, and nothing else', async () => {
    const fixture = await ReconcileFixture.open(how, { worker: true })
    await fixture.datasets('a', 'b', 'c')
    expect(await fixture.round()).toEqual(CLEAN)
    await ask(fixture.core, "delete from nomaly.datasets where name = 'b'")
    const seen = { ...CLEAN, found: { sources: 1, detectorStates: 0 } }
    expect(await fixture.round()).toEqual(seen)
    // Once more is not enough: it may be on its way.
    expect(await fixture.round()).toEqual(seen)
    await fixture.anHourLater()
    expect(await fixture.round()).toEqual({ ...seen, removed: { sources: 1, detectorStates: 0 } })
    await eventually(async () => (await fixture.storedMetrics()).join() === 'a,c')
    expect(await fixture.round()).toEqual(CLEAN)
    expect(await fixture.notes()).toEqual([])
    const { body } = await fixture.nomaly.request('GET', '/v1/audit')
    expect(body.items[0]).toMatchObject({
      actor: 'system',
      action: 'dataset.reconcile',
      subjectId: fixture.id('b'),
    })
    expect(await fixture.points('a')).toBe(2)
  })

  test('a dataset that was deleted and whose task died, even where it was the only one', async () => {
    const fixture = await ReconcileFixture.open(how)
    await fixture.datasets('a')
    expect((await fixture.nomaly.request('DELETE', '/v1/datasets/a')).status).toBe(204)
    // The process dies here: between the commit in the core and that in the metrics.
    await fixture.loseTasks()
    await fixture.round()
    await fixture.anHourLater()
    expect(await fixture.round()).toMatchObject({ removed: { sources: 1 }, doubts: [] })
    expect(await fixture.tasks()).toEqual([fixture.id('a')])
    // Whoever finds it again before the task was done makes no second one.
    await fixture.round()
    await fixture.anHourLater()
    await fixture.round()
    expect(await fixture.tasks()).toEqual([fixture.id('a')])
  })

  test('what detectors have learnt of series that are gone; their findings stay, and are over', async () => {
    const fixture = await ReconcileFixture.open(how)
    await fixture.datasets('a', 'b', 'c')
    const gone = await fixture.learn('a')
    await fixture.learn('b')
    await fixture.learn('c')
    expect(await fixture.round()).toEqual(CLEAN)
    await ask(fixture.metrics, 'delete from metrics.series where id = $1', [gone])
    const seen = { ...CLEAN, found: { sources: 0, detectorStates: 1 } }
    expect(await fixture.round()).toEqual(seen)
    await fixture.anHourLater()
    // Whoever learns something of it has seen it.
    expect(await fixture.round()).toEqual(seen)
    await ask(fixture.core, "update nomaly.detector_states set updated_at = now() - interval '2 hours'")
    await fixture.round()
    await fixture.anHourLater()
    expect(await fixture.round()).toMatchObject({ removed: { detectorStates: 1 } })
    expect(
      await ask(fixture.core, 'select from nomaly.detector_states where series_id = $1', [gone]),
    ).toEqual([])
    expect(await ask(fixture.core, 'select from nomaly.detector_states')).toHaveLength(2)
    const findings = await ask(
      fixture.core,
      'select series_id = $1 as gone, ongoing from nomaly.anomalies order by 1',
      [gone],
    )
    expect(findings).toEqual([
      { gone: false, ongoing: true },
      { gone: false, ongoing: true },
      { gone: true, ongoing: false },
    ])
    const { body } = await fixture.nomaly.request('GET', '/v1/audit')
    expect(body.items[0]).toMatchObject({ action: 'job.reconcile', detail: { detectorStates: 1 } })
    expect(await fixture.round()).toEqual(CLEAN)
  })

  test('what is found once, and is right later, is forgotten', async () => {
    const fixture = await ReconcileFixture.open(how)
    await fixture.datasets('a', 'b', 'c')
    await ask(fixture.core, "update nomaly.datasets set id = gen_random_uuid() where name = 'b'")
    await fixture.round()
    await fixture.anHourLater()
    await ask(fixture.core, "update nomaly.datasets set id = $1 where name = 'b'", [fixture.id('b')])
    expect(await fixture.round()).toEqual(CLEAN)
    expect(await fixture.notes()).toEqual([])
  })
})

test('a dataset of another tenant by the same id is not the one', async () => {
  const fixture = await ReconcileFixture.open('two databases')
  await fixture.datasets('a', 'b', 'c')
  const { tenantId } = await fixture.nomaly.createTenant('other')
  await ask(fixture.core, "update nomaly.datasets set tenant_id = $1 where name = 'b'", [tenantId])
  expect(await fixture.round()).toMatchObject({ found: { sources: 1 } })
})

test('points of a tenant that is gone go, though there is nobody to tell', async () => {
  const fixture = await ReconcileFixture.open('two databases', { worker: true })
  await fixture.datasets('a', 'b', 'c')
  const tenant = await fixture.nomaly.createTenant('leaving')
  await fixture.datasetOf(tenant.key, 'gone')
  await ask(
    fixture.core,
    "set session_replication_role = replica; delete from nomaly.datasets where name = 'gone'; delete from nomaly.tenants where name = 'leaving'",
  )
  await fixture.round()
  await fixture.anHourLater()
  expect(await fixture.round()).toMatchObject({ removed: { sources: 1 }, doubts: [] })
  await eventually(async () => (await fixture.storedMetrics()).join() === 'a,b,c')
})

test('series of jobs that the core does not know, written in SQL, are never touched', async () => {
  const fixture = await ReconcileFixture.open('two databases')
  await fixture.datasets('a', 'b', 'c')
  for (const sourceId of ['11111111-2222-4333-8444-555555555555', fixture.id('c')])
    await ask(
      fixture.metrics,
      `insert into metrics.series (tenant_id, source_kind, source_id, metric, tags, retention)
       values ($1, 'job', $2, 'written in SQL', '{}', 'forever')`,
      [fixture.nomaly.tenant.tenantId, sourceId],
    )
  await ask(fixture.core, "delete from nomaly.datasets where name = 'c'")
  await fixture.round()
  await fixture.anHourLater()
  // The job has the id of the dataset that is gone: removing that would take it along.
  expect(await fixture.round()).toEqual(CLEAN)
  expect(await fixture.tasks()).toEqual([])
})

test('finds every orphan among thousands of sources and states, however they lie', async () => {
  const fixture = await ReconcileFixture.open('two databases')
  await fixture.datasets('a')
  const { tenantId } = fixture.nomaly.tenant
  const job = await fixture.job('a')
  await ask(
    fixture.metrics,
    `insert into metrics.series (tenant_id, source_kind, source_id, metric, tags, retention)
     select $1, case when n % 10 = 0 then 'job' else 'dataset' end, md5(n::text)::uuid, 'm' || k, '{}', 'forever'
     from generate_series(1, 2500) n, generate_series(1, 2) k`,
    [tenantId],
  )
  // Every tenth is of a job; of the 2,250 datasets all are known but 8.
  await ask(
    fixture.core,
    `insert into nomaly.datasets (id, tenant_id, name)
     select md5(n::text)::uuid, $1, 'dataset-' || n from generate_series(1, 2500) n where n % 10 > 0 and n % 350 <> 1`,
    [tenantId],
  )
  await ask(
    fixture.core,
    `insert into nomaly.detector_states (tenant_id, job_id, series_id, run_id, revision, state)
     select $1::uuid, $2::uuid, id, $3::uuid, 1, '{}'::jsonb from unnest($4::int4[]) id union all
     select $1, $2, 1000000 + n, $3, 1, '{}' from generate_series(1, 1100) n`,
    [tenantId, job.id, job.lastRun.id, await fixture.manySeriesOf('a', 1_200)],
  )
  expect(await fixture.round()).toMatchObject({ found: { sources: 8, detectorStates: 1100 }, doubts: [] })
})

describe('removes nothing', () => {
  test('where the core looks as if restored to an older state, and begins the hour anew once that is over', async () => {
    const fixture = await ReconcileFixture.open('two databases')
    await fixture.datasets('a', 'b', 'c')
    await ask(fixture.core, "delete from nomaly.datasets where name = 'c'")
    await fixture.round()
    await fixture.anHourLater()
    await ask(fixture.core, "update nomaly.datasets set id = gen_random_uuid() where name = 'b'")
    const { removed, doubts } = await fixture.round()
    expect(removed).toEqual(NOTHING)
    expect(doubts).toEqual([
      expect.stringMatching(/^2 of 3 datasets .* core had been restored to an older state/),
    ])
    expect(await fixture.notes()).toEqual([])
    await ask(fixture.core, "update nomaly.datasets set id = $1 where name = 'b'", [fixture.id('b')])
    expect(await fixture.round()).toMatchObject({ removed: NOTHING, doubts: [] })
    expect(await fixture.tasks()).toEqual([])
  })

  test('where the metrics look as if restored to an older state', async () => {
    const fixture = await ReconcileFixture.open('two databases')
    await fixture.datasets('a', 'b', 'c')
    for (const name of ['a', 'b', 'c']) await fixture.learn(name)
    await ask(fixture.core, "update nomaly.detector_states set updated_at = now() - interval '2 hours'")
    await ask(fixture.metrics, 'delete from metrics.series where metric <> $1', ['a'])
    for (let round = 0; round < 3; round++) {
      expect(await fixture.round()).toMatchObject({
        removed: NOTHING,
        doubts: [expect.stringMatching(/^2 of 3 series .* metrics had been restored to an older state/)],
      })
      await fixture.anHourLater()
    }
    expect(await ask(fixture.core, 'select from nomaly.detector_states')).toHaveLength(3)
  })

  test('where the databases do not belong together', async () => {
    const fixture = await ReconcileFixture.open('two databases')
    await fixture.orphanThatIsDue()
    await ask(fixture.metrics, 'update nomaly.installation set metrics_id = gen_random_uuid()')
    await expect(fixture.round()).rejects.toMatchObject({ code: 'conflict' })
    expect(await fixture.tasks()).toEqual([])
  })

  test.each(['nomaly.datasets', 'nomaly.audit_log', 'nomaly.detector_states', 'nomaly.jobs'])(
    'where the core cannot be read completely: %s',
    async (table) => {
      const fixture = await ReconcileFixture.open('two databases')
      await fixture.orphanThatIsDue()
      await ask(fixture.core, `revoke select on ${table} from nomaly_system`)
      await expect(fixture.round()).rejects.toThrow('permission denied')
      expect(await fixture.tasks()).toEqual([])
      expect(await fixture.notes()).toHaveLength(1)
    },
  )

  test('where another process is at it, or it is told to stop', async () => {
    const fixture = await ReconcileFixture.open('two databases')
    await fixture.orphanThatIsDue()
    const other = new pg.Client({ connectionString: fixture.core.adminUrl })
    await other.connect()
    onTestFinished(() => other.end())
    await other.query('select pg_advisory_lock(4207310003)')
    expect(await reconcile(fixture.nomaly.store, new AbortController().signal)).toBeUndefined()
    await other.query('select pg_advisory_unlock(4207310003)')
    await expect(reconcile(fixture.nomaly.store, AbortSignal.abort(new Error('stopping')))).rejects.toThrow(
      'stopping',
    )
    expect(await fixture.tasks()).toEqual([])
    expect((await fixture.round()).removed.sources).toBe(1)
    // The lock went with the round, also with the one that was stopped.
    expect(await fixture.round()).toBeDefined()
  })
})

test('dying between handing an orphan over and forgetting it does no harm', async () => {
  const fixture = await ReconcileFixture.open('two databases')
  await fixture.orphanThatIsDue()
  await ask(fixture.metrics, 'revoke delete on nomaly.orphans from nomaly_system')
  await expect(fixture.round()).rejects.toThrow('permission denied')
  await ask(fixture.metrics, 'grant delete on nomaly.orphans to nomaly_system')
  expect((await fixture.round()).removed.sources).toBe(1)
  expect((await fixture.tasks()).length).toBeLessThanOrEqual(1)
})

test('doubts are logged once, what is done is counted', async () => {
  let log = ''
  const sink = new Writable({
    write(chunk, _encoding, done) {
      log += String(chunk)
      done()
    },
  })
  const database = {
    poolUse: { total: 0, idle: 0, waiting: 0, budgets: {}, leaks: 0 },
    retryCounts: {},
    onWait: () => {},
  }
  const store = { database, metricsDatabase: database, hasMetricsApart: false, cache: { counts: {} } }
  const metrics = createProcessMetrics(store)
  const report = reconcileReporter(metrics, pino({ level: 'warn' }, sink))
  const doubtful = { ...CLEAN, doubts: ['Most of it is gone.'] }
  for (const one of [undefined, doubtful, doubtful, { ...doubtful, doubts: ['More of it is gone.'] }])
    report(one)
  await sleep(10)
  expect(log.match(/is gone\./g)).toHaveLength(1)
  expect(await metrics.registry.metrics()).toContain('nomaly_reconcile_halted 1')
  report({ found: { sources: 3, detectorStates: 5 }, removed: { sources: 2, detectorStates: 4 }, doubts: [] })
  report(doubtful)
  await sleep(10)
  expect(log.match(/Most of it is gone\./g)).toHaveLength(2)
  const text = await metrics.registry.metrics()
  expect(text).toContain('nomaly_reconcile_removed_total{what="source"} 2')
  expect(text).toContain('nomaly_reconcile_removed_total{what="detector-state"} 4')
})
