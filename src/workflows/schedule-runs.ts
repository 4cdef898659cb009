import { nextOccurrence } from '../jobs/job.ts'
import type { Store } from '../store/store.ts'
import { startRun } from './manage-jobs.ts'

/**
 * Starts a run of every cron job that is due, once each however many workers look at the same time. Times that passed while
 * nothing ran are made up for by one run; a job whose last run is still under way skips this time.
 * @returns how many runs were started.
 */
export async function startDueRuns(store: Store, now: Date): Promise<number> {
  const due = await store.database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
    connection.query<{ id: string; tenant_id: string }>(
      'select id, tenant_id from nomaly.jobs where next_run_at <= $1 order by next_run_at limit 100',
      [now],
    ),
  )
  let started = 0
  for (const { id, tenant_id: tenantId } of due) {
    const { value } = await store.transaction({ tenantId }, async (unit) => {
      const job = await unit.jobs.find(id)
      if (job === undefined) return false
      const dueAt = await unit.jobs.takeDue(id, now, nextOccurrence(job.schedule, now))
      if (dueAt === undefined || (await unit.runs.findOpen(id)) !== undefined) return false
      return (await startRun(unit, tenantId, job, dueAt)) !== undefined
    })
    if (value) started += 1
  }
  return started
}
