import { LISTED, type ProofCheck } from '../proof-check.ts'

/** Partitions that the product has noted and PostgreSQL does not have, or does not have in their place. */
const MISSING_PARTITIONS = `
  select format('%s: the partition %s of %s is missing', p.retention, kind || suffix, kind || p.retention) as problem
  from (select retention, replace(table_name, 'points_', '') as suffix from metrics.partitions) p
  cross join unnest(array['points_', 'hourly_', 'daily_']) as kind
  where not exists (
    select from pg_inherits i where i.inhrelid = to_regclass(format('metrics.%I', kind || suffix))
      and i.inhparent = format('metrics.%I', kind || p.retention)::regclass)`

/** Former versions of TimescaleDB keep chunks that were dropped in their catalogue, and have a column that says so. */
const CHUNKS = "_timescaledb_catalog.chunk c where coalesce((to_jsonb(c) ->> 'dropped')::bool, false) = false"

/** Chunks that TimescaleDB has in its catalogue and PostgreSQL does not have. */
const MISSING_CHUNKS = `
  select format('the chunk %s.%s is missing', schema_name, table_name) as problem from ${CHUNKS} and to_regclass(format('%I.%I', schema_name, table_name)) is null`

/** Whether all partitions and chunks that are noted are there. */
export const parts: ProofCheck = {
  name: 'partitions and chunks',
  shows: 'every partition and chunk that is noted is there',
  async run({ metrics, engine }) {
    const { rows: problems } = await metrics.client.query<{ problem: string }>(
      engine.name === 'timescale' ? `${MISSING_PARTITIONS} union all ${MISSING_CHUNKS}` : MISSING_PARTITIONS,
    )
    if (problems.length > 0)
      return {
        verdict: 'fail',
        says: `${problems.length} partitions or chunks are missing.`,
        details: problems.slice(0, LISTED).map(({ problem }) => problem),
      }
    const { rows } = await metrics.client.query<{ parts: number }>(
      engine.name === 'timescale'
        ? `select count(*)::float8 as parts from ${CHUNKS}`
        : 'select count(*)::float8 * 3 as parts from metrics.partitions',
    )
    return { verdict: 'ok', says: `${rows[0]!.parts} of them, and all are there.` }
  },
}
