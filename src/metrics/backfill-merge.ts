import type { TenantScope } from '../access/tenant-scope.ts'
import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import { isRetryable } from '../database/database-errors.ts'
import type { Backfill, BackfillStep } from './backfill.ts'
import { findBackfill, pointsTable } from './backfill-rows.ts'
import { storeWindows } from './backfill-windows.ts'
import { mergeWindow, type NextWindow } from './backfill-window-merge.ts'
import { requireEngine } from './engine-state.ts'
import { instantLiteral } from './instant-literal.ts'
import { isMissingPartition } from './metric-writer.ts'
import type { RetentionClass, SeriesSource } from './metrics-engine.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import { type PartitionMap, type PartitionRange, UnknownPartitions } from './partition-map.ts'
import { lockSourceForWriting } from './source-lock.ts'

/** What tables points go to: the part of merging that engines differ in. */
export interface MergeStorage {
  /** What is known to exist; a single range without end where an engine makes room by itself. */
  readonly map: PartitionMap
  /** Makes room for the days of an {@link UnknownPartitions}. */
  ensure(
    retention: RetentionClass,
    days: Iterable<number>,
    nowMs: number,
    signal?: AbortSignal,
  ): Promise<unknown>
  forgetAll(): void
  /**
   * As `nomaly_system`, before these ranges are read: keeps what is there from changing its place until the transaction ends.
   * @throws UnknownPartitions where one is gone.
   */
  hold?(
    connection: Connection,
    retention: RetentionClass,
    ranges: readonly PartitionRange[],
    days: readonly number[],
  ): Promise<void>
  /** Brings points before an instant, of which no more come, into their final form. */
  settle?(retention: RetentionClass, untilMicros: number): Promise<unknown>
}

export interface BackfillMergerOptions {
  readonly database: Database
  readonly relations: MetricsRelations
  readonly storage: MergeStorage
  /** The time that retention counts from, in epoch milliseconds. */
  readonly clock: () => number
  /** As for a write. */
  readonly requireSource?: ((connection: Connection, source: SeriesSource) => Promise<void>) | undefined
  readonly log: (message: string) => void
}

/** How often a window is tried that collided with another write, or found a partition gone. */
const ATTEMPTS = 5

/** Longest time of one statement: counting some hundred million points, or merging an hour that cannot be cut. */
const STATEMENT_TIMEOUT_MS = 3_600_000

interface Merged extends BackfillStep {
  /** Of this class everything before this instant is merged. */
  readonly settled?: { readonly retention: RetentionClass; readonly untilMicros: number }
}

const NOTHING = { inserted: 0 } as const

/** Puts the points of a backfill where points are, a window at a time. */
export class BackfillMerger {
  readonly #options: BackfillMergerOptions

  constructor(options: BackfillMergerOptions) {
    this.#options = options
  }

  /** As `MetricsEngine.mergeBackfill`. */
  async step(scope: TenantScope, id: string, signal?: AbortSignal): Promise<BackfillStep> {
    const { storage, clock, log } = this.#options
    for (let attempt = 1; ; attempt++) {
      try {
        const { settled, ...step }: Merged =
          (await this.#plan(scope, id, signal)) ?? (await this.#merge(scope, id, signal))
        if (settled !== undefined)
          try {
            await storage.settle?.(settled.retention, settled.untilMicros)
          } catch (error) {
            // Merged it is: maintenance comes round to it.
            log(`What a backfill has merged was not compressed: ${String(error)}`)
          }
        return step
      } catch (error) {
        if (attempt === ATTEMPTS) throw error
        if (error instanceof UnknownPartitions)
          for (const [retention, days] of error.days) await storage.ensure(retention, days, clock(), signal)
        else if (isMissingPartition(error)) storage.forgetAll()
        else if (!isRetryable(error)) throw error
      }
    }
  }

  /** Lays out windows where that has not been done; `undefined` where it has. In a transaction of its own: it may take long, and holds nobody up. */
  async #plan(
    scope: TenantScope,
    id: string,
    signal: AbortSignal | undefined,
  ): Promise<BackfillStep | undefined> {
    const options = { role: 'nomaly_app', scope, signal, timeoutMs: STATEMENT_TIMEOUT_MS } as const
    const { value } = await this.#options.database.transaction(options, async (connection) => {
      const found = await claim(connection, id)
      if (typeof found === 'string') return { outcome: found, ...NOTHING } as const
      if (found.isPlanned) return undefined
      await connection.become('nomaly_system')
      await connection.query('select metrics.index_backfill_points($1)', [found.number])
      await storeWindows(connection, { id, tenantId: scope.tenantId, table: pointsTable(found.number) })
      await connection.query(
        'update metrics.backfills set planned_at = now(), changed_at = now() where id = $1',
        [id],
      )
      return { outcome: 'merged', ...NOTHING } as const
    })
    return value
  }

  async #merge(scope: TenantScope, id: string, signal: AbortSignal | undefined): Promise<Merged> {
    const { database, relations, storage, clock, requireSource } = this.#options
    const options = { role: 'nomaly_app', scope, signal, timeoutMs: STATEMENT_TIMEOUT_MS } as const
    const { value } = await database.transaction<Merged>(options, async (connection) => {
      const known = await findBackfill(connection, id)
      if (known === undefined) return { outcome: 'ended', ...NOTHING }
      // In the order in which a removal takes them: first the source, then what belongs to it.
      const state = await lockSourceForWriting(connection, known.source.id, 'shared')
      requireEngine(state, relations.engine)
      await requireSource?.(connection, known.source)
      const found = await claim(connection, id)
      if (typeof found === 'string') return { outcome: found, ...NOTHING }
      const table = pointsTable(found.number)
      const window = await nextWindow(connection, id)
      if (window === undefined) {
        await complete(connection, id, found.number)
        return { outcome: 'completed', ...NOTHING }
      }
      const merging = { connection, relations, storage, state, table, nowMs: clock() }
      const counts = await mergeWindow(merging, known.source, window)
      await connection.query(
        `update metrics.backfill_windows set merged_at = now(), inserted = $3, duplicates = $4, conflicting = $5, expired = $6
         where backfill_id = $1 and lower = ${instantLiteral(window.lowerMicros)} and retention = $2`,
        [id, window.retention, counts.inserted, counts.duplicates, counts.conflicting, counts.expired],
      )
      await connection.query(
        'update metrics.backfills set failures = 0, error = null, hint = null, changed_at = now() where id = $1',
        [id],
      )
      const next = await nextWindow(connection, id, window.retention)
      const untilMicros = next?.lowerMicros ?? Number.POSITIVE_INFINITY
      return {
        outcome: 'merged',
        inserted: counts.inserted,
        settled: { retention: window.retention, untilMicros },
      }
    })
    return value
  }
}

/** Takes a backfill that is to be merged, for as long as the transaction lasts, as the tenant; or says why it cannot be. */
async function claim(
  connection: Connection,
  id: string,
): Promise<{ readonly number: string; readonly isPlanned: boolean } | 'busy' | 'ended'> {
  const [row] = await connection.query<{ number: string; status: Backfill['status']; planned: boolean }>(
    `select number, status, planned_at is not null as planned from metrics.backfills where id = $1 for update skip locked`,
    [id],
  )
  if (row === undefined) return (await findBackfill(connection, id)) === undefined ? 'ended' : 'busy'
  return row.status === 'merging' ? { number: row.number, isPlanned: row.planned } : 'ended'
}

/** The first window that is not merged; of a class only, where one is given. */
async function nextWindow(
  connection: Connection,
  id: string,
  retention?: RetentionClass,
): Promise<NextWindow | undefined> {
  const [row] = await connection.query<{
    retention: RetentionClass
    lower: number
    upper: number
    days: number[]
    points: number
    classes: number
  }>(
    `select retention, extract(epoch from lower)::float8 * 1000000 as lower,
       extract(epoch from upper)::float8 * 1000000 as upper, points::float8,
       array(select extract(epoch from day)::float8 * 1000 from unnest(days) day) as days,
       (select count(distinct retention)::int4 from metrics.backfill_windows where backfill_id = $1) as classes
     from metrics.backfill_windows w
     where backfill_id = $1 and merged_at is null and ($2::text is null or retention = $2)
     order by w.lower, w.retention limit 1`,
    [id, retention ?? null],
  )
  if (row === undefined) return undefined
  const { lower: lowerMicros, upper: upperMicros, days, points, classes } = row
  return {
    retention: row.retention,
    lowerMicros,
    upperMicros,
    days,
    points,
    isOneOfSeveral: classes > 1,
  }
}

async function complete(connection: Connection, id: string, number: string): Promise<void> {
  await connection.become('nomaly_system')
  await connection.query('select metrics.drop_backfill_points($1)', [number])
  await connection.query(
    `update metrics.backfills set status = 'completed', error = null, hint = null, changed_at = now(), ended_at = now() where id = $1`,
    [id],
  )
}
