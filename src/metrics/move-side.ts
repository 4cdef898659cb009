import type { Connection } from '../database/connection.ts'
import type { MetricsEngine, RetentionClass, SeriesId } from './metrics-engine.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import type { PartitionRange } from './partition-map.ts'

/** Of a point with its row header, without the index; for estimates of what has not been counted. */
export const BYTES_PER_POINT = 52

/** A partition or chunk, and how many points it holds, about. */
export interface StoredRange extends PartitionRange {
  readonly points: number
}

/** One of the two ends of a move from engine to engine. */
export interface MoveSide {
  readonly engine: MetricsEngine
  readonly relations: MetricsRelations
  /** Whether its tables were ever made. */
  exists(connection: Connection): Promise<boolean>
  /** What is stored of a class, ascending in time; as `nomaly_system`. */
  ranges(connection: Connection, retention: RetentionClass): Promise<StoredRange[]>
  /** Makes room for points of these days (epoch ms). */
  ensure(
    retention: RetentionClass,
    days: Iterable<number>,
    nowMs: number,
    signal?: AbortSignal,
  ): Promise<void>
  /** Prepares a transaction, as `nomaly_system`, that reads points, before it has a snapshot, or that changes them. */
  begin(connection: Connection): Promise<void>
  /** Brings points that stay as they are into their final form: compresses them, where the engine does that. */
  settle(retention: RetentionClass, nowMs: number): Promise<void>
  /** Deletes the roll-ups of series that are gone, as `nomaly_system`. */
  deleteRolledUp(
    connection: Connection,
    retention: RetentionClass,
    series: readonly SeriesId[],
  ): Promise<void>
  /** Gives the tables to the application, or takes them away from processes that do not know yet that they are no longer kept up to date. */
  open(connection: Connection, isOpen: boolean): Promise<void>
  /**
   * Drops all points, roll-ups and marks, and leaves the tables open or closed; false where something of it is still in use, and has to be
   * dropped later.
   */
  clear(then: 'open' | 'closed'): Promise<boolean>
}
