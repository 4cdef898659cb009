import { Progress, Skeleton } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { jobsQuery } from '../api/queries.ts'
import { JobStatusMark } from '../jobs/job-status-mark.tsx'
import { runProgress } from '../jobs/run-progress.ts'
import { EmptyNote } from '../layout/empty-note.tsx'
import { Panel } from '../layout/panel.tsx'
import { ProblemAlert } from '../layout/problem-alert.tsx'
import classes from './latest-findings.module.css'

const JOBS_SHOWN = 6

/** The jobs and their state, those that need a look first. */
export function JobSummary() {
  const jobs = useQuery(jobsQuery)
  const shown = jobs.data
    ?.toSorted(
      (a, b) =>
        Number(b.status === 'failed') - Number(a.status === 'failed') ||
        b.updatedAt.localeCompare(a.updatedAt),
    )
    .slice(0, JOBS_SHOWN)
  return (
    <Panel
      title="Jobs"
      flush
      aside={
        <Link to="/jobs" className={classes.all}>
          All
        </Link>
      }
    >
      {jobs.isPending && <Skeleton height={80} m="md" />}
      {jobs.isLoadingError && <ProblemAlert error={jobs.error} onRetry={() => void jobs.refetch()} />}
      {shown?.length === 0 && (
        <EmptyNote title="No jobs yet">A file that is dropped here gets one by itself.</EmptyNote>
      )}
      <div className={classes.list}>
        {shown?.map((job) => {
          const share = job.lastRun?.status === 'running' ? runProgress(job.lastRun) : undefined
          return (
            <Link key={job.id} to="/jobs" className={classes.row}>
              <JobStatusMark job={job} dot />
              <span className={classes.what}>
                <span className={classes.metric}>{job.name}</span>
                {share !== undefined && share < 1 && (
                  <Progress size="xs" value={share * 100} aria-label="Progress" />
                )}
              </span>
              <span className={classes.when}>{job.openAnomalies > 0 ? `${job.openAnomalies} open` : ''}</span>
            </Link>
          )
        })}
      </div>
    </Panel>
  )
}
