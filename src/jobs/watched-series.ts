import type { Connection } from '../database/connection.ts'

/** A series that a job's detector has learnt something of, over all tenants. */
export interface WatchedSeries {
  readonly tenantId: string
  readonly jobId: string
  readonly seriesId: number
  /** That the job watches. */
  readonly datasetId: string
}

/** What detectors have learnt something of, by job and series, from after one of them, as `nomaly_system`. */
export async function readWatchedSeries(
  connection: Connection,
  after: WatchedSeries | undefined,
  limit: number,
): Promise<WatchedSeries[]> {
  return connection.query<WatchedSeries & Record<string, unknown>>(
    `select s.tenant_id as "tenantId", s.job_id as "jobId", s.series_id as "seriesId", j.dataset_id as "datasetId"
     from nomaly.detector_states s join nomaly.jobs j on j.id = s.job_id
     where (s.job_id, s.series_id) > ($1::uuid, $2::int4) order by s.job_id, s.series_id limit $3`,
    [after?.jobId ?? '00000000-0000-0000-0000-000000000000', after?.seriesId ?? 0, limit],
  )
}

/**
 * Forgets what detectors have learnt of series that are gone, unless something was learnt within the last hour, and closes findings that
 * were still open to later points; the findings themselves stay. Leaves an entry in the audit log for each job. As `nomaly_system`.
 * @returns how many states there were.
 */
export async function forgetSeries(
  connection: Connection,
  watched: readonly Omit<WatchedSeries, 'datasetId'>[],
): Promise<number> {
  const [row] = await connection.query<{ removed: number }>(
    `with gone as (
       select * from unnest($1::uuid[], $2::int4[]) as gone(job_id, series_id)
     ), removed as (
       delete from nomaly.detector_states s using gone
       where s.job_id = gone.job_id and s.series_id = gone.series_id and s.updated_at < now() - interval '1 hour'
       returning s.tenant_id, s.job_id, s.series_id
     ), earlier as (
       delete from nomaly.detector_snapshots d using removed
       where d.job_id = removed.job_id and d.series_id = removed.series_id
     ), ended as (
       update nomaly.anomalies a set ongoing = false, updated_at = now() from removed
       where a.job_id = removed.job_id and a.series_id = removed.series_id and a.ongoing
     ), told as (
       insert into nomaly.audit_log (tenant_id, actor, action, subject_kind, subject_id, detail)
       select tenant_id, 'system', 'job.reconcile', 'job', job_id,
         jsonb_build_object('reason', 'series are gone', 'detectorStates', count(*))
       from removed group by tenant_id, job_id
     )
     select count(*)::int4 as removed from removed`,
    [watched.map(({ jobId }) => jobId), watched.map(({ seriesId }) => seriesId)],
  )
  return row!.removed
}
