import { nextOccurrence } from '../jobs/job.ts'
import type { Store } from '../store/store.ts'
import { startRun } from './manage-jobs.ts'

/**
 * Starts a run of every cron job that is due, once each however many workers look at the same time. Times that passed while
 * nothing ran are made up for by one run; a job whose last run is still under way skips this time. A schedule that names no instant any
 * more ends its job and nobody else's.
 * @param onError hears what went wrong with one job; the others go on.
 * @returns how many runs were started.
 */
export async function startDueRuns(
  store: Store,
  now: Date,
  onError: (error: unknown) => void,
): Promise<number> {
  const due = await store.database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
    connection.query<{ id: string; tenant_id: string }>(
      'select id, tenant_id from nomaly.jobs where next_run_at <= $1 order by next_run_at limit 100',
      [now],
    ),
  )
  let started = 0
  for (const { id, tenant_id: tenantId } of due)
    try {
      if (await startDueRun(store, tenantId, id, now)) started += 1
    } catch (error) {
      onError(error)
    }
  return started
}

async function startDueRun(store: Store, tenantId: string, id: string, now: Date): Promise<boolean> {
  const { value } = await store.transaction({ tenantId }, async (unit) => {
    const job = await unit.jobs.lock(id)
    let next: Date | undefined
    try {
      next = nextOccurrence(job.schedule, now)
    } catch {
      // Accepted once, and now without a future: a time zone may have gone, or the last date passed.
      await unit.jobs.takeDue(id, now, undefined)
      await unit.jobs.follow(id, 'failed')
      await unit.outbox.add('job', { id, status: 'failed' })
      return false
    }
    const dueAt = await unit.jobs.takeDue(id, now, next)
    return dueAt !== undefined && (await startRun(unit, tenantId, job, dueAt)) !== undefined
  })
  return value
}
