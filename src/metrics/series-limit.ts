import type { Connection } from '../database/connection.ts'
import { NomalyError } from '../errors.ts'
import type { SeriesKey, SeriesSource } from './metrics-engine.ts'

/** Those who add this share of the limit at most need not wait for one another, as long as half of it is free … */
const SMALL_SHARE = 64
/** … so that so many of them, which is more than one process has under way, cannot exceed it together. */
const FREE_SHARE = 2

/** How many series a dataset may have. */
export class SeriesLimit {
  readonly #max: number

  constructor(max: number) {
    this.#max = max
  }

  /**
   * Asks, as the tenant, whether the series that are `missing` may be made in this transaction. `findAgain` looks which of them others
   * have made meanwhile; they are counted then, and must not be counted twice.
   * @throws NomalyError `too_large` naming what has the most values among them.
   */
  async admit(
    connection: Connection,
    source: SeriesSource,
    missing: () => readonly SeriesKey[],
    findAgain: () => Promise<void>,
  ): Promise<void> {
    const present = await countSeries(connection, source, this.#max)
    // Refused without waiting for anybody: what explodes comes again and again.
    if (present + missing().length > this.#max) {
      await findAgain()
      this.#require(present, missing())
    }
    const isSmall = missing().length * SMALL_SHARE <= this.#max && present * FREE_SHARE <= this.#max
    if (isSmall && (await lockNewSeries(connection, source, 'shared'))) return
    await lockNewSeries(connection, source, 'alone')
    const settled = await countSeries(connection, source, this.#max)
    await findAgain()
    this.#require(settled, missing())
  }

  #require(present: number, missing: readonly SeriesKey[]): void {
    if (missing.length === 0 || present + missing.length <= this.#max) return
    const { field, values } = explodingField(missing)
    const number = (count: number): string => count.toLocaleString('en')
    throw new NomalyError(
      'too_large',
      `The dataset would have more than ${number(this.#max)} series: ${number(missing.length)} new ones come to ${number(present)}.`,
      {
        hint: `${field} has ${number(values)} different values among them. A tag names where a series comes from and has few values: leave it out, or use several datasets. An operator can raise NOMALY_MAX_SERIES_PER_DATASET.`,
        problems: [{ field, reason: `has ${number(values)} different values among the new series` }],
      },
    )
  }
}

/** What makes series many: `tags.NAME` or `metric`, whichever has the most distinct values. */
export function explodingField(keys: readonly SeriesKey[]): { field: string; values: number } {
  const values = new Map<string, Set<string>>()
  const note = (field: string, value: string): void => {
    const seen = values.get(field)
    if (seen === undefined) values.set(field, new Set([value]))
    else seen.add(value)
  }
  for (const { metric, tags } of keys) {
    for (const [name, value] of Object.entries(tags)) note(`tags.${name}`, value)
    note('metric', metric)
  }
  const [field, seen] = [...values].reduce((most, entry) => (entry[1].size > most[1].size ? entry : most))
  return { field, values: seen.size }
}

/** How many series a source of the tenant has, or `most` where there are more. */
async function countSeries(connection: Connection, source: SeriesSource, most: number): Promise<number> {
  const [row] = await connection.query<{ count: number }>(
    `select count(*)::int4 as count from (
       select from metrics.series
       where tenant_id = nomaly.current_tenant() and source_kind = $1 and source_id = $2 limit $3
     ) s`,
    [source.kind, source.id, most],
  )
  return row!.count
}

/**
 * Locks the making of series in one source until the transaction ends: alone, so that what others make is counted, after waiting; or shared with
 * those who add little, and false where somebody has it alone.
 */
async function lockNewSeries(
  connection: Connection,
  source: SeriesSource,
  mode: 'shared' | 'alone',
): Promise<boolean> {
  const key = "hashtextextended('nomaly metrics new series ' || $1, 0)"
  const lock =
    mode === 'shared' ? `pg_try_advisory_xact_lock_shared(${key})` : `pg_advisory_xact_lock(${key}) is null`
  const [row] = await connection.query<{ locked: boolean }>(`select ${lock} as locked`, [
    source.id.toLowerCase(),
  ])
  return mode === 'alone' || row!.locked
}
