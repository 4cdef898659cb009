import { PartitionedEngine } from '../../src/metrics/partitioned-engine.ts'
import { ask } from './bench-server.ts'
import type { EngineKind } from './engine-side.ts'

export const PARTITIONED: EngineKind = {
  name: 'partitioned',
  needsTimescale: false,
  sets: ['core', 'metrics-partitioned'],
  pointsTable: 'metrics.points_forever',
  open: (database, clock) => new PartitionedEngine({ database, clock }),
  async measureBytes(adminUrl) {
    const [row] = await ask<{ points: string; all: string }>(
      adminUrl,
      `select sum(pg_total_relation_size(c.oid)) as all,
         sum(pg_total_relation_size(c.oid)) filter (where c.relname like 'points\\_forever%') as points
       from pg_class c where c.relnamespace = 'metrics'::regnamespace and c.relkind in ('r', 'm')`,
    )
    return { points: Number(row!.points), all: Number(row!.all) }
  },
}

/** All that there are. */
export const ENGINES: readonly EngineKind[] = [PARTITIONED]
