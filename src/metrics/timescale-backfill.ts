import type { Database } from '../database/database.ts'
import type { MergeStorage } from './backfill-merge.ts'
import type { TimescaleChunks } from './timescale-chunks.ts'
import { COMPRESS_AFTER_MICROS, compressDue } from './timescale-compression.ts'
import { lockChunks } from './timescale-point-writer.ts'

/** Where backfills are merged into hypertables: what is behind them is compressed at once. */
export function timescaleMergeStorage(
  database: Database,
  chunks: TimescaleChunks,
  clock: () => number,
): MergeStorage {
  return {
    map: chunks.map,
    ensure: (...wanted) => chunks.ensure(...wanted),
    forgetAll: () => chunks.forgetAll(),
    hold: (connection, retention, ranges, days) =>
      lockChunks(
        connection,
        chunks,
        ranges.map(({ lowerMicros }) => ({ retention, lowerMicros })),
        () => new Map([[retention, new Set(days)]]),
      ),
    settle: (retention, untilMicros) => {
      // Of what ended just now points still come one by one.
      const dueMs = Math.min(clock(), (untilMicros + COMPRESS_AFTER_MICROS) / 1000)
      return compressDue(database, retention, dueMs, undefined, 'wait')
    },
  }
}
