import type { TenantScope } from '../../access/tenant-scope.ts'
import type { Database } from '../../database/database.ts'
import type { Position } from '../../database/position.ts'
import type { MetricsEngine, PointBatch, SeriesSource } from '../../metrics/metrics-engine.ts'

/** Who writes: a tenant of the drills, and a dataset and a name of this one. */
export interface DrillSite {
  readonly scope: TenantScope
  readonly run: string
  readonly source: SeriesSource
  /** Of the first point, epoch milliseconds. */
  readonly originMs: number
}

export const POINTS_PER_WRITE = 50
const ACTOR = 'system'

/** Names of settings, which hold counters and their marks: the row of the first is changed by every write, each of the second is made by one. */
export function counterName(run: string, lane: string): string {
  return `${run}/${lane}`
}

export function markName(run: string, lane: string, n: number): string {
  return `${run}/${lane}/${n}`
}

/** Adds one to a counter and leaves a mark, both or neither; a write that is repeated does so once. */
export async function count(
  database: Database,
  { scope, run }: DrillSite,
  lane: string,
  n: number,
  signal?: AbortSignal,
): Promise<{ position: Position; isNew: boolean }> {
  const { value, position } = await database.transaction(
    { role: 'nomaly_app', scope, signal },
    async (connection) => {
      const marked = await connection.query(
        `insert into nomaly.settings (tenant_id, name, value, updated_by) values ($1, $2, 'true', $3)
       on conflict do nothing returning name`,
        [scope.tenantId, markName(run, lane, n), ACTOR],
      )
      if (marked.length === 0) return false
      await connection.query(
        `insert into nomaly.settings as s (tenant_id, name, value, updated_by) values ($1, $2, '1', $3)
       on conflict (tenant_id, name) do update set value = to_jsonb((s.value #>> '{}')::int8 + 1), updated_at = now()`,
        [scope.tenantId, counterName(run, lane), ACTOR],
      )
      return true
    },
  )
  return { position, isNew: value }
}

/** Stores a write's points. What is stored already counts as found. */
export async function append(
  metrics: MetricsEngine,
  site: DrillSite,
  lane: number,
  n: number,
  signal?: AbortSignal,
): Promise<{ position: Position; isNew: boolean }> {
  const { value, position } = await metrics.append(site.scope, pointsOf(site, lane, n), signal)
  return { position, isNew: value.inserted > 0 }
}

/** The points of one write: each value tells which write it is of. */
export function pointsOf({ source, originMs }: DrillSite, lane: number, n: number): PointBatch {
  const numbers = Array.from({ length: POINTS_PER_WRITE }, (_, i) => n * POINTS_PER_WRITE + i)
  return {
    source,
    keys: [{ metric: 'drill', tags: { lane: String(lane) } }],
    series: new Uint32Array(POINTS_PER_WRITE),
    timesMs: Float64Array.from(numbers, (number) => originMs + number),
    values: Float64Array.from(numbers),
  }
}
