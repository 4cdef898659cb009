import type { Database } from '../database/database.ts'
import { RETENTION_CLASSES } from './retention.ts'
import { TIMESCALE_RELATIONS } from './timescale-relations.ts'

const JOB_TIMEOUT_MS = 3_600_000

interface FailedJob {
  readonly id: number
  readonly kind: string
  readonly failures: number
}

/**
 * Runs what failed of the background jobs that somebody has put on the tables of metrics; answers a sentence for each. The engine itself makes
 * none, and needs none: TimescaleDB's scheduler may be off, out of workers, or broken, and nobody would notice.
 */
export async function runFailedJobs(database: Database): Promise<string[]> {
  const ours = RETENTION_CLASSES.flatMap((retention) => [
    TIMESCALE_RELATIONS.points(retention),
    TIMESCALE_RELATIONS.hourly(retention),
    TIMESCALE_RELATIONS.daily(retention),
  ])
  const failed = await database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
    connection.query<FailedJob>(
      `select s.job_id as id, j.application_name as kind, s.total_failures::int4 as failures
       from timescaledb_information.job_stats s join timescaledb_information.jobs j using (job_id)
       where s.last_run_status = 'Failed' and (
         s.hypertable_schema || '.' || s.hypertable_name = any($1) or exists (
           select from timescaledb_information.continuous_aggregates c
           where c.view_schema || '.' || c.view_name = any($1)
             and s.hypertable_schema in (c.view_schema, c.materialization_hypertable_schema)
             and s.hypertable_name in (c.view_name, c.materialization_hypertable_name)))
       order by 1`,
      [ours],
    ),
  )
  const problems: string[] = []
  for (const job of failed) problems.push(await runJob(database, job))
  return problems
}

async function runJob(database: Database, { id, kind, failures }: FailedJob): Promise<string> {
  const what = `TimescaleDB's job ${kind} has failed ${failures} times, last when it ran last`
  try {
    await database.session({ role: 'nomaly_system', timeoutMs: JOB_TIMEOUT_MS }, async (session) => {
      await session.query(`call public.run_job(${id})`)
    })
    return `${what}; it was run in its place.`
  } catch (error) {
    return `${what}; running it in its place failed too: ${(error as Error).message}.`
  }
}
