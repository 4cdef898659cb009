import { presenceKey } from '../jobs/worker-presence.ts'
import type { Store } from '../store/store.ts'

interface OpenRun {
  readonly id: string
  readonly tenant_id: string
  readonly status: string
  readonly worker_id: string | null
  /** Whether a task for it waits, or is being done as far as the queue knows. */
  readonly has_task: boolean
  readonly is_waiting: boolean
}

/** The worker that looks. */
export interface WorkerAtWork {
  readonly id: string
  /** Whether it executes the run at this moment. */
  isBusyWith(runId: string): boolean
}

/**
 * Makes new tasks for runs that nobody works on: their worker is gone, since its presence lock is free (PostgreSQL frees the locks of a
 * connection that ends, however it ends), or their task has used up its tries, or was taken by a worker that died before it marked the run
 * as its own, which takes a living one moments. A worker also knows what it has dropped: where the database was away, its queue could not
 * hear of it.
 * @returns how many runs were found.
 */
export async function recoverRuns(store: Store, worker: WorkerAtWork): Promise<number> {
  const orphans = await store.database.read(
    { role: 'nomaly_system', freshness: 'latest' },
    async (connection) => {
      const open = await connection.query<OpenRun & Record<string, unknown>>(
        `select r.id, r.tenant_id, r.status, r.worker_id,
              exists (select from pgboss.job t where t.name = 'run-detection' and t.singleton_key = r.id::text
                      and (t.state in ('created', 'retry') or t.state = 'active'
                           and (r.status = 'running' or t.started_on > now() - interval '10 seconds'))) as has_task,
              exists (select from pgboss.job t where t.name = 'run-detection' and t.singleton_key = r.id::text
                      and t.state in ('created', 'retry')) as is_waiting
       from nomaly.runs r join nomaly.jobs j on j.id = r.job_id
       where r.status in ('pending', 'running') and j.schedule ->> 'kind' <> 'streaming' limit 1000`,
      )
      if (open.length === 0) return []
      const held = await connection.query<{ key: string }>(
        `select ((classid::bigint << 32) | objid::bigint)::text as key from pg_locks
       where locktype = 'advisory' and granted and objsubid = 1
         and database = (select oid from pg_database where datname = current_database())`,
      )
      const alive = new Set(held.map(({ key }) => key))
      return open.filter((run) => isOrphan(run, alive, worker))
    },
  )
  for (const { id, tenant_id: tenantId } of orphans)
    await store.transaction({ tenantId }, (unit) =>
      unit.queue.send('run-detection', { tenantId, runId: id }, id),
    )
  return orphans.length
}

function isOrphan(run: OpenRun, alive: ReadonlySet<string>, worker: WorkerAtWork): boolean {
  if (run.status === 'running' && run.worker_id === worker.id)
    return !worker.isBusyWith(run.id) && !run.is_waiting
  // A worker that died still has its task marked as active: its lock tells at once, the task's heartbeat only later.
  if (run.status === 'running' && run.worker_id !== null && !alive.has(presenceKey(run.worker_id)))
    return true
  return !run.has_task
}
