import { randomUUID } from 'node:crypto'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import { isRetryable } from '../database/database-errors.ts'
import type { Page, PageRequest } from '../database/paging.ts'
import type { Committed } from '../database/position.ts'
import { NomalyError } from '../errors.ts'
import { beginBackfill } from './begin-backfill.ts'
import { type Backfill, type BackfillPart, type BackfillPartReport, ENDED_STATUSES } from './backfill.ts'
import { dropPoints } from './backfill-removal.ts'
import { type ReceivedPart, receivePart } from './backfill-intake.ts'
import { backfillNotFound, findBackfill, listBackfills, listParts } from './backfill-rows.ts'
import type { SeriesSource } from './metrics-engine.ts'
import { DAY_MS } from './retention.ts'
import { SeriesCatalog } from './series-catalog.ts'

export interface BackfillsOptions {
  /** That of the metrics. */
  readonly database: Database
  readonly clock: () => number
  /** As for a write. */
  readonly requireSource?: (connection: Connection, source: SeriesSource) => Promise<void>
  readonly maxSeriesPerDataset?: number
}

/** After how many days without a part, or without another try, the points of a backfill are removed. */
const ABANDONED_DAYS = 7

/** How many days the record of one that has ended is kept. */
const RECORD_DAYS = 30

/** After how many failures in a row a merge is given up. */
const MOST_FAILURES = 5

const ATTEMPTS = 5
const PART_TIMEOUT_MS = 60_000
/** Of statements that wait until a window is merged. */
const CANCEL_TIMEOUT_MS = 600_000

/** A backfill that is to be merged, whoever it belongs to. */
export interface WaitingBackfill {
  readonly tenantId: string
  readonly id: string
}

/** Gathers the points of backfills and keeps the record of each. What puts them where points are is the engine's (`mergeBackfill`). */
export class Backfills {
  readonly #options: BackfillsOptions
  readonly #catalog: SeriesCatalog

  constructor(options: BackfillsOptions) {
    this.#options = options
    this.#catalog = new SeriesCatalog(options.maxSeriesPerDataset)
  }

  /**
   * @param id one that nothing else has; where this very backfill was opened before, it is answered.
   * @throws NomalyError `conflict` where the tenant has too many that are open.
   */
  async create(
    scope: TenantScope,
    source: SeriesSource,
    id: string = randomUUID(),
  ): Promise<Committed<Backfill>> {
    const { requireSource } = this.#options
    return this.#transaction(scope, (connection) =>
      beginBackfill(connection, { scope, source, id, requireSource }),
    )
  }

  /**
   * Stores a part; answers when it is committed, and the same however often it is sent.
   * @throws NomalyError as `MetricsEngine.append`; `not_found`, `conflict`.
   */
  async receive(
    scope: TenantScope,
    id: string,
    part: BackfillPart,
    signal?: AbortSignal,
  ): Promise<Committed<BackfillPartReport>> {
    const { database, clock, requireSource } = this.#options
    const options = { role: 'nomaly_app', scope, signal, timeoutMs: PART_TIMEOUT_MS } as const
    for (let attempt = 1; ; attempt++) {
      let received: ReceivedPart | undefined
      try {
        const { value, position } = await database.transaction(options, async (connection) => {
          const intake = { catalog: this.#catalog, nowMs: clock(), requireSource }
          received = await receivePart(connection, scope, intake, id, part)
          return received.report
        })
        received?.resolved?.remember()
        return { value, position }
      } catch (error) {
        if (attempt === ATTEMPTS || !isRetryable(error)) throw error
      }
    }
  }

  /**
   * Says that all parts have come, so that they may be merged; once more after a failure. May be repeated without harm.
   * @throws NomalyError `conflict` naming the parts that are missing, `not_found`.
   */
  async finish(scope: TenantScope, id: string, parts: number): Promise<Committed<Backfill>> {
    return this.#transaction(scope, async (connection) => {
      const status = await lock(connection, id)
      const before = (await findBackfill(connection, id))!
      if (status === 'cancelled')
        throw new NomalyError('conflict', 'The backfill was cancelled.', { hint: 'Start another one.' })
      if (before.partsTotal !== undefined && before.partsTotal !== parts)
        throw new NomalyError('conflict', `The backfill was finished with ${before.partsTotal} parts.`, {
          problems: [{ field: 'parts', reason: `must be ${before.partsTotal}` }],
        })
      if (status === 'receiving') await requireParts(connection, id, parts)
      if (status === 'receiving' || status === 'failed')
        await connection.query(
          `update metrics.backfills set status = 'merging', parts_total = $2, failures = 0, error = null, hint = null, changed_at = now()
           where id = $1`,
          [id, parts],
        )
      return (await findBackfill(connection, id))!
    })
  }

  /** Ends a backfill and removes what of it is not merged yet; what is stays. @throws NomalyError `not_found`, `conflict` where it is completed. */
  async cancel(
    scope: TenantScope,
    id: string,
    reason?: { readonly message: string; readonly hint?: string },
  ): Promise<Committed<void>> {
    return this.#transaction(scope, async (connection) => {
      const status = await lock(connection, id)
      if (status === 'completed')
        throw new NomalyError('conflict', 'The backfill is completed: there is nothing left to cancel.')
      if (status !== 'cancelled') await end(connection, id, reason)
    })
  }

  /** As `cancel`, where there still is something to cancel. */
  async abandon(
    scope: TenantScope,
    id: string,
    reason: { readonly message: string; readonly hint?: string },
  ): Promise<void> {
    try {
      await this.cancel(scope, id, reason)
    } catch (error) {
      if (!(error instanceof NomalyError && ['not_found', 'conflict'].includes(error.code))) throw error
    }
  }

  async get(scope: TenantScope, id: string): Promise<Backfill> {
    return this.#read(scope, async (connection) => {
      const found = await findBackfill(connection, id)
      if (found === undefined) throw backfillNotFound(id)
      return found
    })
  }

  /** Those of a source, newest first. */
  async list(scope: TenantScope, sourceId: string, page: PageRequest): Promise<Page<Backfill>> {
    return this.#read(scope, (connection) => listBackfills(connection, sourceId, page))
  }

  /** The parts that have come, by number. */
  async parts(scope: TenantScope, id: string, page: PageRequest): Promise<Page<BackfillPartReport>> {
    return this.#read(scope, (connection) => listParts(connection, id, page))
  }

  /** Notes that merging failed; after {@link MOST_FAILURES} times in a row it is given up. Answers what its status is now. */
  async recordFailure(
    scope: TenantScope,
    id: string,
    { message, hint }: { readonly message: string; readonly hint?: string | undefined },
  ): Promise<Backfill['status'] | undefined> {
    const { value } = await this.#transaction(scope, (connection) =>
      connection.query<{ status: Backfill['status'] }>(
        `update metrics.backfills set failures = failures + 1, error = $2, hint = $3, changed_at = now(),
           status = case when failures + 1 >= ${MOST_FAILURES} then 'failed' else status end
         where id = $1 and status = 'merging' returning status`,
        [id, message, hint ?? null],
      ),
    )
    return value[0]?.status
  }

  /** All that are to be merged, oldest first. */
  async waiting(): Promise<WaitingBackfill[]> {
    const options = { role: 'nomaly_system', freshness: 'latest' } as const
    return this.#options.database.read(options, (connection) =>
      connection.query<WaitingBackfill & Record<string, unknown>>(
        `select tenant_id as "tenantId", id from metrics.backfills where status = 'merging' order by number limit 1000`,
      ),
    )
  }

  /** Ends those that nobody has gone on with for a week, and forgets those that ended a month ago; answers how many of both. */
  async prune(now: Date): Promise<number> {
    const { database } = this.#options
    const options = { role: 'nomaly_system', timeoutMs: CANCEL_TIMEOUT_MS } as const
    const at = (days: number): string => new Date(now.getTime() - days * DAY_MS).toISOString()
    const { value } = await database.transaction(options, async (connection) => {
      const abandoned = await connection.query<{ id: string }>(
        `select id from metrics.backfills b where status in ('receiving', 'failed') and changed_at < $1
           and not exists (select from metrics.backfill_parts p where p.backfill_id = b.id and p.received_at >= $1)
         for update skip locked`,
        [at(ABANDONED_DAYS)],
      )
      for (const { id } of abandoned)
        await end(connection, id, {
          message: `Nobody has gone on with it for ${ABANDONED_DAYS} days.`,
          hint: 'Start another one.',
        })
      const forgotten = await connection.query(
        `delete from metrics.backfills where status = any($1) and ended_at < $2 returning 1 as one`,
        [ENDED_STATUSES, at(RECORD_DAYS)],
      )
      return abandoned.length + forgotten.length
    })
    return value
  }

  #transaction<T>(scope: TenantScope, work: (connection: Connection) => Promise<T>): Promise<Committed<T>> {
    const options = { role: 'nomaly_app', scope, timeoutMs: CANCEL_TIMEOUT_MS } as const
    return this.#options.database.transaction(options, work)
  }

  #read<T>(scope: TenantScope, work: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#options.database.read({ role: 'nomaly_app', scope, freshness: 'latest' }, work)
  }
}

async function lock(connection: Connection, id: string): Promise<Backfill['status']> {
  const [row] = await connection.query<{ status: Backfill['status'] }>(
    'select status from metrics.backfills where id = $1 for update',
    [id],
  )
  if (row === undefined) throw backfillNotFound(id)
  return row.status
}

async function requireParts(connection: Connection, id: string, parts: number): Promise<void> {
  const [row] = await connection.query<{ missing: number[]; total: number; beyond: number | null }>(
    `select array(select n from generate_series(1, $2::int4) n where not exists (
         select from metrics.backfill_parts where backfill_id = $1 and number = n) order by n limit 20) as missing,
       $2 - count(*) filter (where number <= $2)::int4 as total, max(number) filter (where number > $2) as beyond
     from metrics.backfill_parts where backfill_id = $1`,
    [id, parts],
  )
  const { missing, total, beyond } = row!
  if (total > 0)
    throw new NomalyError(
      'conflict',
      `${total} of ${parts} parts are missing: ${missing.join(', ')}${total > missing.length ? ', …' : ''}.`,
      { hint: 'Send them, and finish it again.' },
    )
  if (beyond !== null)
    throw new NomalyError('conflict', `Part ${beyond} has come, and there are to be ${parts}.`, {
      hint: 'Finish it with the number of all parts.',
    })
}

/** Cancels one that is locked; ends as `nomaly_system`. */
async function end(
  connection: Connection,
  id: string,
  reason: { readonly message: string; readonly hint?: string } | undefined,
): Promise<void> {
  const rows = await connection.query<{ number: string }>(
    `update metrics.backfills set status = 'cancelled', error = coalesce($2, error), hint = coalesce($3, hint), changed_at = now(),
       ended_at = now()
     where id = $1 returning number`,
    [id, reason?.message ?? null, reason?.hint ?? null],
  )
  await dropPoints(connection, rows)
}
