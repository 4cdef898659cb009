import type { Connection } from '../database/connection.ts'
import type { SeenPoints } from './seen-points.ts'
import type { StoredMonitor } from './watch-series.ts'

/** Which states are set aside, and for how long. */
export interface SnapshotPolicy {
  /** Series of which states are set aside, at most; the same ones each time. */
  readonly maxSeries: number
  /** Time between two of a series, in minutes. */
  readonly everyMinutes: number
  /** How long they are kept, in minutes. */
  readonly keepMinutes: number
}

/**
 * Sets the states of detectors aside that have changed since it did so last, and forgets those of long ago, as `nomaly_system`. Each is a
 * state that was committed together with its findings.
 * @returns how many were set aside.
 */
export async function takeSnapshots(connection: Connection, policy: SnapshotPolicy): Promise<number> {
  await connection.query(
    "delete from nomaly.detector_snapshots where taken_at < now() - $1::float8 * interval '1 minute'",
    [policy.keepMinutes],
  )
  const [row] = await connection.query<{ taken: number }>(
    `with chosen as (
       select job_id, series_id from nomaly.detector_states
       -- By a hash: any choice will do that is the same the next time.
       order by hashint4extended(series_id, 7), job_id limit $1
     ), taken as (
       insert into nomaly.detector_snapshots (tenant_id, job_id, series_id, revision, run_id, written_at, watermark, state)
       select s.tenant_id, s.job_id, s.series_id, s.revision, s.run_id, s.updated_at, s.watermark, s.state
       from nomaly.detector_states s join chosen using (job_id, series_id)
       where s.state ? 'seen' and not exists (
         select from nomaly.detector_snapshots d
         where d.job_id = s.job_id and d.series_id = s.series_id
           and (d.revision = s.revision or d.taken_at > now() - $2::float8 * interval '1 minute'))
       on conflict do nothing
       returning 1
     )
     select count(*)::int4 as taken from taken`,
    // Slightly less: rounds do not come by the second.
    [policy.maxSeries, policy.everyMinutes * 0.9],
  )
  return row!.taken
}

/** A stretch of a series that a detector has been over, with its states at both ends. */
export interface RecordedStretch {
  readonly tenantId: string
  readonly jobId: string
  readonly jobName: string
  readonly seriesId: number
  /** The run that came to its end. */
  readonly runId: string
  /** `undefined` where it began with the first point. */
  readonly from: StretchEnd | undefined
  readonly to: StretchEnd & { readonly state: StoredMonitor & { readonly seen: SeenPoints } }
}

export interface StretchEnd {
  /** Of the last point that was seen, epoch milliseconds; `undefined` before the first. */
  readonly watermarkMs: number | undefined
  readonly writtenAtMs: number
  readonly state: StoredMonitor
}

export interface StretchPlace {
  readonly jobId: string
  readonly seriesId: number
}

/** Runs that began with the first point and have more are left out: they would take as long as they took. */
const MAX_POINTS_FROM_START = 200_000

/**
 * What detectors have been over since the oldest state of theirs that was set aside, and what jobs that run once have been over as a whole
 * within a day before the newest of all states, by job and series, as `nomaly_system`.
 */
export async function readStretches(
  connection: Connection,
  after: StretchPlace | undefined,
  limit: number,
): Promise<RecordedStretch[]> {
  const rows = await connection.query<StretchRow>(
    `select s.tenant_id as "tenantId", s.job_id as "jobId", j.name as "jobName", s.series_id as "seriesId", s.run_id as "runId",
       d.state as "fromState", ${milliseconds('d.watermark')} as "fromWatermarkMs", ${milliseconds('d.written_at')} as "fromWrittenAtMs",
       s.state as "toState", ${milliseconds('s.watermark')} as "toWatermarkMs", ${milliseconds('s.updated_at')} as "toWrittenAtMs"
     from nomaly.detector_states s
     join nomaly.jobs j on j.id = s.job_id
     left join lateral (
       select * from nomaly.detector_snapshots d
       where d.job_id = s.job_id and d.series_id = s.series_id and d.revision < s.revision
         and d.state -> 'seen' ->> 'since' = s.state -> 'seen' ->> 'since'
       order by d.taken_at limit 1
     ) d on true
     where (s.job_id, s.series_id) > ($1::uuid, $2::int4) and s.state ? 'seen'
       and (d.state is not null or (
         s.done and j.schedule ->> 'kind' = 'once'
         and (s.state -> 'seen' ->> 'points')::float8 <= $4
         and s.updated_at > (select max(updated_at) from nomaly.detector_states) - interval '1 day'))
     order by s.job_id, s.series_id limit $3`,
    [
      after?.jobId ?? '00000000-0000-0000-0000-000000000000',
      after?.seriesId ?? 0,
      limit,
      MAX_POINTS_FROM_START,
    ],
  )
  return rows.map((row) => ({
    tenantId: row.tenantId,
    jobId: row.jobId,
    jobName: row.jobName,
    seriesId: row.seriesId,
    runId: row.runId,
    from:
      row.fromState === null
        ? undefined
        : {
            watermarkMs: row.fromWatermarkMs ?? undefined,
            writtenAtMs: row.fromWrittenAtMs!,
            state: row.fromState,
          },
    to: {
      watermarkMs: row.toWatermarkMs ?? undefined,
      writtenAtMs: row.toWrittenAtMs,
      state: row.toState,
    },
  }))
}

type StretchRow = {
  tenantId: string
  jobId: string
  jobName: string
  seriesId: number
  runId: string
  fromState: StoredMonitor | null
  fromWatermarkMs: number | null
  fromWrittenAtMs: number | null
  toState: RecordedStretch['to']['state']
  toWatermarkMs: number | null
  toWrittenAtMs: number
}

function milliseconds(column: string): string {
  return `(extract(epoch from ${column}) * 1000)::float8`
}
