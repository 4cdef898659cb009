import { expect, test } from 'vitest'
import { PERSON_RECORDS } from '../../src/operations/erasure/person-records.ts'
import { openTestStore } from '../store/store-fixture.ts'

/** Tables that belong to the installation: nothing of a tenant, a person or a series can be in them. */
const OF_NOBODY = [
  'nomaly.commit_markers',
  'nomaly.installation',
  // Of an installation's own backups and imports: ids, times and counts.
  'nomaly.backup_runs',
  'nomaly.backup_schedule',
  'nomaly.backup_sightings',
  'nomaly.restore_drills',
  'nomaly.imports',
  'nomaly.import_places',
  // What erasures keep of themselves.
  'nomaly.erasures',
  'nomaly.applied_erasures',
  'nomaly.tenants',
  'metrics.engine',
  'metrics.partitions',
  'metrics.roll_up_state',
  'metrics.timescale_gate',
  'metrics.timescale_state',
  'metrics.move_journal',
  'metrics.move_windows',
]
/** Points, roll-ups and marks, which belong to series. */
const OF_SERIES = /^metrics\.(?:timescale_)?(?:points|hourly|daily|late)_/
const OF_MIGRATIONS = /^nomaly\.migration/

test('every table is of tenants, of series, or known to be of nobody', async () => {
  const { admin } = await openTestStore()
  const rows = await admin<{ name: string; isOfTenants: boolean }>(
    `select n.nspname || '.' || c.relname as name,
       exists (select from pg_attribute where attrelid = c.oid and attname = 'tenant_id' and not attisdropped) as "isOfTenants"
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and not c.relispartition and n.nspname in ('nomaly', 'metrics') order by 1`,
  )
  expect(rows.length).toBeGreaterThan(40)
  const unknown = rows.filter(
    ({ name, isOfTenants }) =>
      !isOfTenants && !OF_NOBODY.includes(name) && !OF_SERIES.test(name) && !OF_MIGRATIONS.test(name),
  )
  expect(unknown.map(({ name }) => name)).toEqual([])
})

test('every column that says who did something, or whose it is, is among the records of a person', async () => {
  const { admin } = await openTestStore()
  const rows = await admin<{ table: string; column: string }>(
    `select n.nspname || '.' || c.relname as table, a.attname as column
     from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'nomaly' and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
       and (a.attname ~ '_by$' or a.attname in ('actor', 'principal', 'device', 'email', 'username', 'key_id', 'user_id', 'note'))`,
  )
  expect(rows.length).toBeGreaterThan(10)
  const known = new Set(PERSON_RECORDS.map(({ table }) => table))
  expect(rows.filter(({ table }) => !known.has(table))).toEqual([])
})
