import { RETENTION_CLASSES } from '../../../../metrics/retention.ts'
import type { RetentionClass } from '../../../../metrics/metrics-engine.ts'
import { LISTED, type ProofCheck, type ProofContext } from '../proof-check.ts'
import { relationsOf } from './relations-of.ts'

/** How much is compared in one statement. */
const WINDOW = '28 days'

/** What was added up of every closed hour must be what its points add up to now: where a partition or a chunk is missing it is not. */
export const rollUps: ProofCheck = {
  name: 'roll-ups',
  shows: 'every closed hour of every series has the points that were counted when it was closed',
  async run(context) {
    let hours = 0
    let wrongTotal = 0
    const wrong: string[] = []
    for (const retention of RETENTION_CLASSES)
      for (const from of await windows(context, retention)) {
        context.signal.throwIfAborted()
        context.progress(`${retention}, from ${from.slice(0, 10)}`)
        const found = await compare(context, retention, from)
        hours += found.hours
        wrongTotal += found.wrong
        wrong.push(...found.details)
      }
    if (wrongTotal === 0)
      return { verdict: 'ok', says: `${hours} hours of series are what their points add up to.` }
    return {
      verdict: 'fail',
      says: `${wrongTotal} of ${hours} hours of series are not what their points add up to.`,
      details: wrong.slice(0, LISTED),
    }
  },
}

/** Starts of stretches of time that have points or roll-ups in closed hours. */
async function windows(context: ProofContext, retention: RetentionClass): Promise<string[]> {
  const relations = relationsOf(context)
  const { rows } = await context.metrics.client.query<{ start: string }>(
    `with found as (
       select min(least(h.first, p.first)) as first, max(s.closed_until) as until from ${relations.state} s
       cross join (select min(bucket) as first from ${relations.hourly(retention)}) h
       cross join (select min(time) as first from ${relations.points(retention)}) p
       where s.retention = $1 and s.closed_until > '-infinity'
     )
     select to_char(start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as start
     from found cross join lateral generate_series(date_trunc('day', first, 'UTC'), until, interval '${WINDOW}') start`,
    [retention],
  )
  return rows.map(({ start }) => start)
}

async function compare(
  context: ProofContext,
  retention: RetentionClass,
  from: string,
): Promise<{ hours: number; wrong: number; details: string[] }> {
  const relations = relationsOf(context)
  const { rows } = await context.metrics.client.query<{ hours: number; wrong: number; details: string[] }>(
    `with bounds as (
       select $2::timestamptz as lower, least($2::timestamptz + interval '${WINDOW}', closed_until) as upper
       from ${relations.state} where retention = $1
     ), raw as (
       select series_id, date_trunc('hour', time, 'UTC') as bucket, count(*) as points,
         min(value) filter (where abs(value) < 'Infinity') as low, max(value) filter (where abs(value) < 'Infinity') as high
       from ${relations.points(retention)}
       where time >= $2::timestamptz and time < (select upper from bounds) group by 1, 2
     ), rolled as (
       select series_id, bucket, count + non_finite as points, min as low, max as high from ${relations.hourly(retention)}
       where bucket >= $2::timestamptz and bucket < (select upper from bounds)
     ), marked as (
       select day, series_id, bit_or(hours) as hours from ${relations.late(retention)}
       where day >= $2::timestamptz - interval '1 day' and day < (select upper from bounds) group by 1, 2
     ), both_sides as (
       select series_id, bucket, raw.points as there, rolled.points as counted,
         (raw.points, raw.low, raw.high) is distinct from (rolled.points, rolled.low, rolled.high) as differs
       from raw full join rolled using (series_id, bucket)
       -- Those are to be computed anew: points came late.
       where not exists (select from marked m where m.series_id = coalesce(raw.series_id, rolled.series_id)
         and m.day = date_trunc('day', bucket, 'UTC')
         and m.hours & (1 << extract(hour from bucket at time zone 'UTC')::int) <> 0)
     )
     select count(*)::float8 as hours, (count(*) filter (where differs))::float8 as wrong,
       coalesce((array_agg(format('series %s, hour of %s: %s points were counted, %s are there', series_id,
         to_char(bucket at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), coalesce(counted, 0), coalesce(there, 0)))
         filter (where differs))[1:${LISTED}], '{}') as details
     from both_sides`,
    [retention, from],
  )
  return rows[0]!
}
