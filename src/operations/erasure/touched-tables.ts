import type { MetricsEngine, SeriesId } from '../../metrics/metrics-engine.ts'
import { RETENTION_CLASSES } from '../../metrics/retention.ts'
import { TIMESCALE_RELATIONS } from '../../metrics/timescale-relations.ts'
import type { AdminSession } from './admin-session.ts'

/** Tables of points beside those that hold them: names, newest points, marks, and what moves and backfills note. */
const BESIDE_POINTS = ['metrics.series', 'metrics.latest_points', 'metrics.move_journal', 'metrics.logins']

interface Candidate {
  /** Quoted, with its schema. */
  readonly name: string
  /** What it is looked for in: of a chunk that is compressed, the rows that stand beside what is. */
  readonly from: string
}

/** The tables that hold rows of series, and those in which something of them may stand, before they are erased. */
export async function tablesHolding(
  metrics: AdminSession,
  engine: MetricsEngine['name'],
  series: readonly SeriesId[],
): Promise<string[]> {
  // The rights of the application are on the whole of a table, not on its partitions.
  const owner = engine === 'timescale' ? 'nomaly_system' : 'nomaly_owner'
  const candidates = engine === 'timescale' ? await chunksOf(metrics) : await partitionsOf(metrics)
  const holding: string[] = []
  for (const { name, from } of candidates) {
    const [row] = await metrics.ask<{ holds: boolean }>(
      owner,
      `select exists(select from ${from} where series_id = any($1::int4[])) as holds`,
      [series],
    )
    if (row!.holds) holding.push(name)
  }
  const late = RETENTION_CLASSES.map((retention) =>
    engine === 'timescale' ? TIMESCALE_RELATIONS.late(retention) : `metrics.late_${retention}`,
  )
  return [...holding, ...late, ...BESIDE_POINTS, ...(await backfillTables(metrics))]
}

async function partitionsOf(metrics: AdminSession): Promise<Candidate[]> {
  const rows = await metrics.ask<{ name: string }>(
    'nomaly_system',
    `select format('metrics.%I', replace(table_name, 'points_', kind)) as name
     from metrics.partitions cross join unnest(array['points_', 'hourly_', 'daily_']) kind order by 1`,
  )
  return rows.map(({ name }) => ({ name, from: name }))
}

/** Chunks of points and of roll-ups, and what they are compressed in, which is a table by itself. */
async function chunksOf(metrics: AdminSession): Promise<Candidate[]> {
  const rows = await metrics.ask<{ name: string; compressed: string | null }>(
    'nomaly_system',
    `select format('%I.%I', c.schema_name, c.table_name) as name, case when p.id is not null then format('%I.%I', p.schema_name, p.table_name) end as compressed
     from _timescaledb_catalog.chunk c
     join _timescaledb_catalog.hypertable h on h.id = c.hypertable_id
     left join _timescaledb_catalog.chunk p on p.id = c.compressed_chunk_id
     where exists (select from pg_class k join pg_namespace n on n.oid = k.relnamespace
         where n.nspname = c.schema_name and k.relname = c.table_name)
       and (h.schema_name = 'metrics' and h.table_name like 'timescale\\_points\\_%'
         or h.id in (select mat_hypertable_id from _timescaledb_catalog.continuous_agg where user_view_schema = 'metrics'))
     order by 1`,
  )
  return rows.flatMap(({ name, compressed }) => [
    // As a whole: what is compressed is looked through too, by its segments.
    { name, from: name },
    ...(compressed === null ? [] : [{ name: compressed, from: compressed }]),
  ])
}

async function backfillTables(metrics: AdminSession): Promise<string[]> {
  const rows = await metrics.ask<{ name: string }>(
    'nomaly_system',
    `select format('metrics.%I', c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'metrics' and c.relkind = 'r' and (c.relname like 'backfill\\_points\\_%'
       or c.relname in ('backfills', 'backfill_parts', 'backfill_windows')) order by 1`,
  )
  return rows.map(({ name }) => name)
}
