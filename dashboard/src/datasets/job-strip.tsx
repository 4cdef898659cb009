import { Button, Progress } from '@mantine/core'
import { IconEye } from '@tabler/icons-react'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import type { Dataset, Job } from '../api/entities.ts'
import { watchDataset } from '../jobs/watch-dataset.ts'
import { runProgress } from '../jobs/run-progress.ts'
import { formatCount } from '../layout/format-number.ts'
import classes from './job-strip.module.css'

/** Says in one line whether the dataset is watched, and shows a run while it works. */
export function JobStrip({ dataset, jobs }: { dataset: Dataset; jobs: readonly Job[] | undefined }) {
  const client = useQueryClient()
  const watch = useMutation({
    mutationFn: () => watchDataset(dataset),
    onSuccess: () => client.invalidateQueries({ queryKey: ['jobs'] }),
  })
  if (jobs === undefined) return null
  if (jobs.length === 0)
    return (
      <div className={classes.strip}>
        <span>Nothing watches this dataset yet.</span>
        <Button
          size="compact-sm"
          leftSection={<IconEye size={15} />}
          loading={watch.isPending}
          onClick={() => watch.mutate()}
        >
          Watch it
        </Button>
      </div>
    )
  const running =
    jobs.find((job) => job.lastRun?.status === 'running' && job.schedule.kind !== 'streaming') ??
    jobs.find((job) => job.lastRun?.status === 'running' && runProgress(job.lastRun) !== undefined)
  const failed = jobs.find((job) => job.status === 'failed')
  const run = running?.lastRun ?? undefined
  const share = run === undefined ? undefined : runProgress(run)
  if (run !== undefined && share !== undefined && share < 1)
    return (
      <div className={classes.strip} role="status">
        <span>
          Looking at the points: {formatCount(run.seriesDone)} of {formatCount(run.seriesTotal)} series,{' '}
          {formatCount(run.anomaliesFound)} findings
        </span>
        <Progress value={share * 100} className={classes.progress} aria-label="Progress of the run" />
      </div>
    )
  if (failed !== undefined)
    return (
      <div className={classes.strip} data-failed role="status">
        <span>
          The job “{failed.name}” failed: {failed.lastRun?.error?.message ?? 'see the jobs page'}
        </span>
        <Link to="/jobs">To the jobs</Link>
      </div>
    )
  return null
}
