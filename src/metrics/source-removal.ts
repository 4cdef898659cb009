import type { Connection } from '../database/connection.ts'
import { int4Array } from './array-encoder.ts'
import { type EngineState, journalRemoval } from './engine-state.ts'
import type { RetentionClass, SeriesId } from './metrics-engine.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import { RETENTION_CLASSES } from './retention.ts'
import { lockRollUps } from './roll-up-marks.ts'

/** Series whose points one statement deletes. */
const SERIES_AT_ONCE = 1_000

/** Deletes the roll-ups of series, as `nomaly_system`. */
export type RollUpRemoval = (
  connection: Connection,
  retention: RetentionClass,
  series: readonly SeriesId[],
) => Promise<void>

interface RemovedSeries {
  readonly id: SeriesId
  readonly retention: RetentionClass
}

/**
 * Deletes the series of a source with their points, roll-ups and marks; answers how many series. Starts as `nomaly_app`, the source locked.
 * `deleteRolledUp` stands in where roll-ups are no tables that rows can be deleted from.
 */
export async function removeSource(
  connection: Connection,
  relations: MetricsRelations,
  sourceId: string,
  deleteRolledUp: RollUpRemoval | undefined,
  state: EngineState,
): Promise<number> {
  const removed = await connection.query<RemovedSeries & Record<string, unknown>>(
    'delete from metrics.series where source_id = $1 returning id, retention',
    [sourceId],
  )
  await connection.become('nomaly_system')
  return removePoints(connection, relations, removed, deleteRolledUp, state)
}

/** As {@link removeSource}, for some series of it; its backfills stay, without what they have gathered of these. */
export async function removeSeries(
  connection: Connection,
  relations: MetricsRelations,
  { sourceId, ids }: { readonly sourceId: string; readonly ids: Int32Array },
  deleteRolledUp: RollUpRemoval | undefined,
  state: EngineState,
): Promise<number> {
  const series = int4Array(ids)
  const removed = await connection.query<RemovedSeries & Record<string, unknown>>(
    'delete from metrics.series where source_id = $1 and id = any($2::int4[]) returning id, retention',
    [sourceId, series],
  )
  await connection.become('nomaly_system')
  await connection.query(
    `select metrics.erase_backfill_points(number, $2::int4[]) from metrics.backfills
     where source_id = $1 and status in ('receiving', 'merging', 'failed')`,
    [sourceId, series],
  )
  return removePoints(connection, relations, removed, deleteRolledUp, state)
}

/** The points, roll-ups and marks of series that have just been deleted, as `nomaly_system`. */
async function removePoints(
  connection: Connection,
  relations: MetricsRelations,
  removed: readonly RemovedSeries[],
  deleteRolledUp: RollUpRemoval | undefined,
  state: EngineState,
): Promise<number> {
  const byClass = RETENTION_CLASSES.map(
    (retention) => [retention, removed.filter((one) => one.retention === retention)] as const,
  ).filter(([, series]) => series.length > 0)
  const deleteFrom = async (table: string, series: readonly { readonly id: SeriesId }[]): Promise<void> => {
    for (let start = 0; start < series.length; start += SERIES_AT_ONCE) {
      const ids = int4Array(Int32Array.from(series.slice(start, start + SERIES_AT_ONCE), ({ id }) => id))
      await connection.query(`delete from ${table} where series_id = any($1::int4[])`, [ids])
    }
  }
  for (const [retention, series] of byClass) {
    await deleteFrom(relations.points(retention), series)
    await deleteFrom('metrics.latest_points', series)
    await journalRemoval(
      connection,
      retention,
      series.map(({ id }) => id),
      state,
    )
  }
  // Last, because nothing is rolled up meanwhile: from here until the end nobody makes roll-ups of points that are about to go.
  for (const [retention, series] of byClass) {
    await lockRollUps(connection, retention, 'wait')
    if (deleteRolledUp === undefined)
      for (const table of [relations.hourly(retention), relations.daily(retention)])
        await deleteFrom(table, series)
    else
      await deleteRolledUp(
        connection,
        retention,
        series.map(({ id }) => id),
      )
    await deleteFrom(relations.late(retention), series)
  }
  return removed.length
}
