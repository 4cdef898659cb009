import { RETENTION_CLASSES, retentionCutoffMs } from '../../../../metrics/retention.ts'
import { LISTED, type ProofCheck } from '../proof-check.ts'
import { relationsOf } from './relations-of.ts'

/** The newest point of each series is kept beside the points: it must be among them. */
export const newestPoints: ProofCheck = {
  name: 'newest points',
  shows: 'the newest point of every series is among its points',
  async run(context) {
    const relations = relationsOf(context)
    let series = 0
    const missing: string[] = []
    for (const retention of RETENTION_CLASSES) {
      // Partitions that have expired were dropped whole, and the newest point may have been in one.
      const cutoffMs = Math.max(0, retentionCutoffMs(retention, context.clock()))
      const { rows } = await context.metrics.client.query<{ total: number; lost: string[] | null }>(
        `with newest as (
           select l.series_id, l.time, s.metric from metrics.latest_points l join metrics.series s on s.id = l.series_id
           where s.retention = $1 and l.time > to_timestamp($2::float8 / 1000)
         )
         select count(*)::float8 as total,
           (array_agg(format('series %s (%s): the point of %s is missing', series_id, metric, time) order by series_id)
             filter (where not exists (select from ${relations.points(retention)} p
               where p.series_id = newest.series_id and p.time = newest.time))) as lost
         from newest`,
        [retention, cutoffMs],
      )
      series += rows[0]!.total
      missing.push(...(rows[0]!.lost ?? []))
    }
    if (missing.length === 0)
      return { verdict: 'ok', says: `The newest points of ${series} series are there.` }
    return {
      verdict: 'fail',
      says: `The newest points of ${missing.length} of ${series} series are missing.`,
      details: missing.slice(0, LISTED),
    }
  },
}
