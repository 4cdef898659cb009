import { PartitionedEngine } from '../../src/metrics/partitioned-engine.ts'
import { TimescaleEngine } from '../../src/metrics/timescale-engine.ts'
import { ask } from './bench-server.ts'
import type { EngineKind } from './engine-side.ts'

const PARTITIONED: EngineKind = {
  name: 'partitioned',
  needsTimescale: false,
  sets: ['core', 'metrics-partitioned'],
  pointsTable: 'metrics.points_forever',
  open: (database, clock) => new PartitionedEngine({ database, clock }),
  async weigh(adminUrl, points) {
    const [row] = await ask<{ points: string; all: string }>(
      adminUrl,
      `select sum(pg_total_relation_size(c.oid)) as all,
         sum(pg_total_relation_size(c.oid)) filter (where c.relname like 'points\\_forever%') as points
       from pg_class c where c.relnamespace = 'metrics'::regnamespace and c.relkind in ('r', 'm')`,
    )
    const all = Number(row!.points) / points
    return { settled: all, points: all, everything: Number(row!.all) / points }
  },
}

const TIMESCALE: EngineKind = {
  name: 'timescale',
  needsTimescale: true,
  sets: ['core', 'metrics-partitioned', 'metrics-timescale'],
  pointsTable: 'metrics.timescale_points_forever',
  open: (database, clock) =>
    new TimescaleEngine({ database, clock, log: (message) => console.error(message) }),
  async weigh(adminUrl, points) {
    const [row] = await ask<Record<'compressed' | 'compressedPoints' | 'points' | 'all', string>>(
      adminUrl,
      `with chunks as (
         select s.total_bytes, c.is_compressed, c.range_start, c.range_end
         from chunks_detailed_size('${TIMESCALE.pointsTable}') s
         join timescaledb_information.chunks c using (chunk_schema, chunk_name)
       )
       select (select sum(total_bytes) from chunks where is_compressed) as compressed,
         (select count(*) from ${TIMESCALE.pointsTable} where exists (
           select from chunks where is_compressed and time >= range_start and time < range_end)) as "compressedPoints",
         (select sum(total_bytes) from chunks) as points,
         (select sum(pg_total_relation_size(c.oid)) from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where n.nspname in ('metrics', '_timescaledb_internal') and c.relkind in ('r', 'm')) as all`,
    )
    const { compressed, compressedPoints } = row!
    return {
      settled: Number(compressed) / Number(compressedPoints),
      points: Number(row!.points) / points,
      everything: Number(row!.all) / points,
    }
  },
}

/** All that there are. */
export const ENGINES: readonly EngineKind[] = [PARTITIONED, TIMESCALE]
