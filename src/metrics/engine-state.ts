import type { Connection } from '../database/connection.ts'
import { timestampArray, int4Array } from './array-encoder.ts'
import type { MetricsEngine, RetentionClass, SeriesId } from './metrics-engine.ts'
import { RETENTION_CLASSES } from './retention.ts'
import type { OrderedPoints } from './point-order.ts'
import { type HourBounds, lateDays } from './roll-up-ledger.ts'

type EngineName = MetricsEngine['name']

/** Which engine keeps the points, and up to where they have been copied to the other one, while they are being moved there. */
export interface EngineState {
  readonly name: EngineName
  readonly movingTo: EngineName | undefined
  /** In epoch microseconds; `-Infinity` where nothing is copied. */
  readonly movingUntilMicros: number
}

interface StateRow {
  readonly name: EngineName
  readonly moving_to: EngineName | null
  readonly micros: number | null
}

/** The statement whose one row, or none, {@link toEngineState} reads. */
export const ENGINE_STATE = `select name, moving_to, extract(epoch from moving_until)::float8 * 1000000 as micros from metrics.engine`

/** A database that nobody has chosen an engine for has the one that needs nothing. */
export function toEngineState([row]: readonly StateRow[]): EngineState {
  return {
    name: row?.name ?? 'partitioned',
    movingTo: row?.moving_to ?? undefined,
    movingUntilMicros: row?.micros ?? Number.NEGATIVE_INFINITY,
  }
}

/** Reads which engine keeps the points, under any role. */
export async function readEngineState(connection: Connection): Promise<EngineState> {
  return toEngineState(await connection.query<StateRow & Record<string, unknown>>(ENGINE_STATE))
}

/** The points are no longer where this engine would put them: they have been moved to the other one. */
export class EngineMoved extends Error {}

/** @throws EngineMoved where another engine keeps the points now. */
export function requireEngine(state: EngineState, engine: EngineName): void {
  if (state.name !== engine) throw new EngineMoved(`the metrics are kept by ${state.name} now`)
}

/** Notes which days of series were written that a move has copied already, as `nomaly_system`, in the transaction that wrote them. */
export async function journalPoints(
  connection: Connection,
  points: OrderedPoints,
  { movingUntilMicros }: EngineState,
): Promise<void> {
  if (movingUntilMicros === Number.NEGATIVE_INFINITY) return
  const bounds: HourBounds = new Map(RETENTION_CLASSES.map((retention) => [retention, movingUntilMicros]))
  for (const [retention, { ids, days }] of lateDays(points, bounds))
    await connection.query(
      `insert into metrics.move_journal (retention, day, series_id)
       select $1, * from unnest($2::timestamptz[], $3::int4[])`,
      [retention, timestampArray(days), int4Array(ids)],
    )
}

/** Notes that series are gone, as `nomaly_system`, in the transaction that removes them. */
export async function journalRemoval(
  connection: Connection,
  retention: RetentionClass,
  series: readonly SeriesId[],
  { movingUntilMicros }: EngineState,
): Promise<void> {
  if (movingUntilMicros === Number.NEGATIVE_INFINITY) return
  await connection.query(
    `insert into metrics.move_journal (retention, day, series_id) select $1, '-infinity', * from unnest($2::int4[])`,
    [retention, int4Array(Int32Array.from(series))],
  )
}
