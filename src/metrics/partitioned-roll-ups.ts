import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import { int4Array, timestampArray } from './array-encoder.ts'
import { AGGREGATES, FINITE } from './bucket-statement.ts'
import { instantLiteral } from './instant-literal.ts'
import type { RetentionClass, RollUpReport } from './metrics-engine.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import { RETENTION_CLASSES } from './retention.ts'
import { closableUntil, closeHours } from './roll-up-closing.ts'
import { countHours, DAY_MICROS, type SeriesDays, toSeriesDays } from './roll-up-ledger.ts'
import { lockRollUps, newestMark } from './roll-up-marks.ts'

/** Days of series of one transaction: a fraction of a second of work, for which nothing waits but removals. */
const DAYS_AT_ONCE = 1_000

const COLUMNS = 'count, non_finite, sum, sum_squares, min, max, last, last_time'
const REPLACE = COLUMNS.split(', ')
  .map((column) => `${column} = excluded.${column}`)
  .join(', ')

/** Keeps roll-up tables right from the marks of the ledger. */
export class PartitionedRollUps {
  readonly #database: Database
  readonly #relations: MetricsRelations

  constructor(database: Database, relations: MetricsRelations) {
    this.#database = database
    this.#relations = relations
  }

  /** As `MetricsEngine.rollUp`. */
  async rollUp(nowMs: number, signal?: AbortSignal): Promise<RollUpReport> {
    const closing = { database: this.#database, relations: this.#relations, firstStored }
    await closeHours(closing, closableUntil(nowMs), signal)
    let hoursRefreshed = 0
    let hasMore = false
    for (const retention of RETENTION_CLASSES) {
      const newest = await newestMark(this.#database, this.#relations, retention, signal)
      if (newest === undefined) continue
      for (;;) {
        signal?.throwIfAborted()
        const refreshed = await this.#refreshSome(retention, newest, signal)
        // Another process is at it.
        if (refreshed === undefined) break
        hoursRefreshed += refreshed
        if (refreshed === 0) break
      }
      hasMore ||= (await newestMark(this.#database, this.#relations, retention, signal)) !== undefined
    }
    return { hoursRefreshed, hasMore }
  }

  /** Takes some of the marks up to `newest` and computes their hours anew; answers how many, `undefined` where another process does so now. */
  async #refreshSome(
    retention: RetentionClass,
    newest: string,
    signal: AbortSignal | undefined,
  ): Promise<number | undefined> {
    const options = { role: 'nomaly_system', signal, timeoutMs: 60_000 } as const
    const { value } = await this.#database.transaction(options, async (connection) => {
      if (!(await lockRollUps(connection, retention, 'try'))) return undefined
      const taken = await this.#take(connection, retention, newest)
      if (taken.ids.length === 0) return 0
      // Statements from here on see at least what the transactions wrote whose marks were taken. Marks that come meanwhile stay.
      await this.#refresh(connection, retention, taken)
      return countHours(taken)
    })
    return value
  }

  async #take(connection: Connection, retention: RetentionClass, newest: string): Promise<SeriesDays> {
    const late = this.#relations.late(retention)
    const rows = await connection.query<{ series_id: number; micros: number; hours: number }>(
      `with chosen as (
         select day, series_id from ${late} where id <= $1 group by 1, 2 order by 1, 2 limit ${DAYS_AT_ONCE}
       ), taken as (
         delete from ${late} l using chosen c where l.day = c.day and l.series_id = c.series_id returning l.*
       )
       select series_id, date_part('epoch', day) * 1000000 as micros, bit_or(hours) as hours from taken group by 1, 2 order by 2, 1`,
      [newest],
    )
    return toSeriesDays(rows)
  }

  async #refresh(
    connection: Connection,
    retention: RetentionClass,
    { ids, days, hours }: SeriesDays,
  ): Promise<void> {
    const [points, hourly, daily] = [
      this.#relations.points(retention),
      this.#relations.hourly(retention),
      this.#relations.daily(retention),
    ]
    const [from, to] = [instantLiteral(days[0]!), instantLiteral(days.at(-1)! + DAY_MICROS)]
    const columns = [int4Array(ids), timestampArray(days), int4Array(hours)]
    await connection.query(
      'set local jit = off; set local enable_hashjoin = off; set local enable_mergejoin = off',
    )
    await connection.query(
      `insert into ${hourly} (series_id, bucket, ${COLUMNS})
       select c.series_id, c.bucket, a.count, a.non_finite, a.sum, a.sum_squares, a.min, a.max, l.value, a.last_time
       from (
         select t.series_id, t.day + h.n * interval '1 hour' as bucket
         from unnest($1::int4[], $2::timestamptz[], $3::int4[]) t(series_id, day, hours), generate_series(0, 23) h(n)
         where (t.hours >> h.n) & 1 = 1
       ) c
       cross join lateral (
         select ${AGGREGATES}, count(*) as total from (
           select time, ${FINITE} from ${points}
           where series_id = c.series_id and time >= c.bucket and time < c.bucket + interval '1 hour'
             and time >= ${from} and time < ${to}) p
       ) a
       left join lateral (
         select value from ${points} where series_id = c.series_id and time = a.last_time and time >= ${from} and time < ${to}
       ) l on true
       where a.total > 0
       on conflict (series_id, bucket) do update set ${REPLACE}`,
      columns,
    )
    await connection.query(
      `insert into ${daily} (series_id, bucket, ${COLUMNS})
       select t.series_id, t.day, a.*
       from unnest($1::int4[], $2::timestamptz[]) t(series_id, day)
       cross join lateral (
         select sum(count)::int8, sum(non_finite)::int8, sum(sum), sum(sum_squares), min(min), max(max),
           (array_agg(last order by last_time desc) filter (where last_time is not null))[1], max(last_time)
         from ${hourly} where series_id = t.series_id and bucket >= t.day and bucket < t.day + interval '24 hours'
           and bucket >= ${from} and bucket < ${to} having count(*) > 0
       ) a
       on conflict (series_id, bucket) do update set ${REPLACE}`,
      columns.slice(0, 2),
    )
  }
}

async function firstStored(
  connection: Connection,
  retention: RetentionClass,
  afterMicros: number,
): Promise<number | undefined> {
  const [row] = await connection.query<{ micros: number | null }>(
    `select date_part('epoch', min(lower)) * 1000000 as micros from metrics.partitions
     where retention = $1 and upper > ${instantLiteral(afterMicros)}`,
    [retention],
  )
  return row?.micros ?? undefined
}
