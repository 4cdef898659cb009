import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SeriesMonitor } from '../../src/detection/series-monitor.ts'
import {
  type Proof,
  type ProofResult,
  proveRestored,
  type ProveOptions,
} from '../../src/operations/backup/drill/prove-restored.ts'
import type { Remembered } from '../../src/operations/backup/drill/proof-check.ts'
import { createApartDatabases, startApart } from '../support/apart.ts'
import { compressAll } from '../metrics/timescale-fixture.ts'
import { createMigratedDatabase, startTestNomaly } from '../support/nomaly.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { askDatabase, DetectedFixture, METRICS } from './detected-fixture.ts'

/** The database of an installation that has worked and was then ended; each test spoils a copy. */
let whole: TestDatabase
let sound: Proof

beforeAll(async () => {
  const { database, databaseUrl } = await createMigratedDatabase()
  whole = database
  await using nomaly = await startTestNomaly({ on: { database, databaseUrl } })
  await DetectedFixture.start(nomaly)
  for (let more = true; more; more = (await nomaly.store.metrics.rollUp(new Date())).hasMore);
  if (nomaly.store.metrics.name === 'timescale')
    expect(await compressAll(nomaly.store.metricsDatabase)).toBeGreaterThan(0)
})

afterAll(() => whole?.drop())

beforeAll(async () => {
  sound = await proveSpoilt([])
})

test('what is whole is proven, with the findings of detectors', () => {
  // A server that keeps no checksums of its pages is not ours to have them.
  const others = sound.results.filter(({ check }) => check !== 'page checksums')
  expect(others.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
  expect(failed(sound)).toEqual([])
  const golden = resultOf(sound, 'golden hour')
  // The streaming job from its state, and the one that looked once from the first point.
  expect(golden.says).toMatch(new RegExp(`of ${2 * METRICS.length} series`))
  expect(Number(/all (\d+) findings/.exec(golden.says)![1])).toBeGreaterThanOrEqual(METRICS.length)
  expect(resultOf(sound, 'roll-ups').says).toMatch(/^[1-9]\d* hours/)
})

test('what was remembered is found again', async () => {
  const again = await proveSpoilt([], { remembered: [sound.remember as Remembered] })
  expect(failed(again)).toEqual([])
  expect(resultOf(again, 'audit log').says).toMatch(/exactly the same/)
})

describe('it goes red', () => {
  const POINTS = `(select case when name = 'timescale' then 'metrics.timescale_points_forever' else 'metrics.points_forever' end from metrics.engine)`

  test.for([
    [
      'for points that are missing',
      `delete from %s where time = (select max(time) from %s)`,
      ['golden hour', 'newest points', 'roll-ups'],
    ],
    [
      'for one point in the middle',
      `delete from %s where (series_id, time) = (select series_id, max(time) - interval '30 minutes' from %s group by 1 limit 1)`,
      ['golden hour', 'roll-ups'],
    ],
    [
      'for a value that is another one',
      `update %s set value = value + 1 where (series_id, time) = (select series_id, max(time) - interval '30 minutes' from %s group by 1 limit 1)`,
      ['golden hour'],
    ],
  ] as const)('%s', async ([, statement, failing]) => {
    const spoil = `do $$ declare points text := ${POINTS}; begin execute format('${statement.replaceAll("'", "''")}', points, points); end $$`
    const proof = await proveSpoilt([spoil])
    expect(failed(proof)).toEqual(expect.arrayContaining([...failing]))
  })

  test('for a missing partition or chunk', async () => {
    const proof = await proveSpoilt([
      `do $$ declare part text; begin
         if (select name from metrics.engine) = 'timescale' then
           select show_chunks::text into part from public.show_chunks('metrics.timescale_points_forever') show_chunks order by 1 desc limit 1;
         else select 'metrics.' || table_name into part from metrics.partitions where retention = 'forever' and lower <= now() - interval '1 hour' order by lower desc limit 1; end if;
         execute 'drop table ' || part; end $$`,
    ])
    expect(failed(proof)).toEqual(expect.arrayContaining(['golden hour', 'newest points']))
  })

  test.for([
    [
      'for a finding that was changed',
      'update nomaly.anomalies set score = score / 2 where id = (select min(id::text)::uuid from nomaly.anomalies)',
      /has another score/,
    ],
    [
      'for a finding that is gone',
      'delete from nomaly.anomalies where id = (select min(id::text)::uuid from nomaly.anomalies)',
      /is not recorded/,
    ],
    [
      'for a finding that nobody found',
      "update nomaly.anomalies set id = gen_random_uuid(), started_at = started_at - interval '1 second' where id = (select min(id::text)::uuid from nomaly.anomalies)",
      /not recorded|not found again/,
    ],
    [
      'for what a detector has learnt',
      `update nomaly.detector_states set state = jsonb_set(state, '{snapshot,numbers}', (select s.state -> 'snapshot' -> 'numbers' from nomaly.detector_snapshots s limit 1))`,
      /learnt something else/,
    ],
  ] as const)('%s', async ([, statement, says]) => {
    const proof = await proveSpoilt([statement])
    expect(failed(proof)).toEqual(['golden hour'])
    expect(resultOf(proof, 'golden hour').details.join('\n')).toMatch(says)
  })

  test('for a program that finds something else', async () => {
    const proof = await proveSpoilt([], {
      rebuild: (settings, snapshot) => {
        const strict = { ...settings, budget: { alarms: 1, perSeconds: settings.budget.perSeconds * 1000 } }
        return snapshot === undefined ? new SeriesMonitor(strict) : SeriesMonitor.restore(strict, snapshot)
      },
    })
    expect(failed(proof)).toEqual(['golden hour'])
    expect(resultOf(proof, 'golden hour').says).toMatch(/find something else/)
  })

  test('for a detector whose settings changed by themselves', async () => {
    const proof = await proveSpoilt(['update nomaly.detectors set budget_alarms = budget_alarms * 10'])
    expect(failed(proof)).toEqual(['detectors'])
  })

  test('for a table that has lost its rows', async () => {
    const proof = await proveSpoilt(['delete from nomaly.api_keys'], {
      remembered: [sound.remember as Remembered],
    })
    expect(failed(proof)).toEqual(['rows'])
  })

  test('but not for one that got its rows after the moment that was restored', async () => {
    const { rows, auditLog } = sound.remember as Remembered
    const later = { rows, auditLog: { ...auditLog, lastId: String(BigInt(auditLog.lastId) + 1n) } }
    const proof = await proveSpoilt(['delete from nomaly.api_keys'], { remembered: [later] })
    expect(failed(proof)).toEqual([])
  })

  test('for an audit log that was changed', async () => {
    const proof = await proveSpoilt(
      [
        'alter table nomaly.audit_log disable trigger all',
        'delete from nomaly.audit_log where id = (select min(id) from nomaly.audit_log)',
        'alter table nomaly.audit_log enable trigger all',
      ],
      { remembered: [sound.remember as Remembered] },
    )
    expect(failed(proof)).toEqual(['audit log'])
    const open = await proveSpoilt(['alter table nomaly.audit_log disable trigger all'])
    expect(failed(open)).toEqual(['audit log'])
  })

  test('for an index that does not have what its table has', async () => {
    const proof = await proveSpoilt([
      // As after an update of the C library that sorts otherwise.
      'create function public.turned(text) returns text language sql immutable return $1',
      'create index spoilt on nomaly.datasets (public.turned(name))',
      `insert into nomaly.datasets (tenant_id, name) select id, 'another' from nomaly.tenants limit 1`,
      'create or replace function public.turned(text) returns text language sql immutable return reverse($1)',
    ])
    expect(failed(proof)).toEqual(['indexes (amcheck)'])
  })

  test('for a migration that this version does not know', async () => {
    const proof = await proveSpoilt([
      `insert into nomaly.migration_checksums values ('core', '9999_of_the_future', 'x')`,
    ])
    expect(failed(proof)).toEqual(['schema'])
  })

  test('where there is no database of this product', async () => {
    await using database = await createTestDatabase()
    const proof = await proveRestored(optionsFor(database.adminUrl))
    expect(proof.verdict).toBe('fail')
  })
})

test('points that came late are said, and prove nothing either way', async () => {
  const proof = await proveSpoilt([
    `do $$ declare points text := (select case when name = 'timescale' then 'metrics.timescale_points_forever' else 'metrics.points_forever' end from metrics.engine);
     begin execute format('insert into %s (time, series_id, value) select max(time) - interval ''90 seconds'', min(series_id), 1 from %s', points, points); end $$`,
  ])
  expect(failed(proof)).not.toContain('golden hour')
  expect(resultOf(proof, 'golden hour').details.join()).toMatch(/Into 2 series points came late/)
})

test('two databases are proven together, and one that is older than the other turns it red', async () => {
  const databases = await createApartDatabases()
  const nomaly = await startApart(databases)
  await DetectedFixture.start(nomaly)
  const addresses = { coreUrl: databases.core.adminUrl, metricsUrl: databases.metrics.adminUrl }
  const options = { ...optionsFor(databases.core.adminUrl), addresses }
  const both = await proveRestored(options)
  expect(failed(both)).toEqual([])
  expect(resultOf(both, 'golden hour').says).toMatch(new RegExp(`of ${2 * METRICS.length} series`))
  // As from before all of it.
  await askDatabase(addresses.metricsUrl, 'delete from metrics.series')
  const older = await proveRestored(options)
  expect(failed(older)).toEqual(expect.arrayContaining(['both databases', 'golden hour']))
  expect(resultOf(older, 'both databases').says).toMatch(/older than the other/)
  const strangers = { ...options, addresses: { ...addresses, metricsUrl: whole.adminUrl } }
  expect(failed(await proveRestored(strangers))).toContain('both databases')
})

function optionsFor(adminUrl: string): ProveOptions {
  return {
    addresses: { coreUrl: adminUrl, metricsUrl: undefined },
    signal: AbortSignal.timeout(60_000),
    clock: Date.now,
  }
}

async function proveSpoilt(spoil: readonly string[], options: Partial<ProveOptions> = {}): Promise<Proof> {
  await using copy = await createTestDatabase({ template: whole.name })
  for (const statement of spoil) await askDatabase(copy.adminUrl, statement)
  return await proveRestored({ ...optionsFor(copy.adminUrl), ...options })
}

function failed(proof: Proof): string[] {
  return proof.results.filter(({ verdict }) => verdict === 'fail').map(({ check }) => check)
}

function resultOf(proof: Proof, check: string): ProofResult {
  return proof.results.find((result) => result.check === check)!
}
