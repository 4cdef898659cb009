import { Button, Modal, Skeleton } from '@mantine/core'
import { IconPlayerPlay, IconPlus } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { jobsQuery } from '../api/queries.ts'
import { EmptyNote } from '../layout/empty-note.tsx'
import { PageHead } from '../layout/page-head.tsx'
import { usePageTitle } from '../layout/page-title.ts'
import { Panel } from '../layout/panel.tsx'
import { ProblemAlert } from '../layout/problem-alert.tsx'
import { JobCard } from './job-card.tsx'
import { JobForm } from './job-form.tsx'
import classes from './jobs-page.module.css'

/** All jobs: what they watch, how they fare, and what can be done with them. */
export function JobsPage() {
  usePageTitle('Jobs')
  const jobs = useQuery({
    ...jobsQuery,
    // Should an event be missed, a run that works is looked at anyway.
    refetchInterval: (query) =>
      query.state.data?.some((job) => job.lastRun?.status === 'running') === true ? 5000 : false,
  })
  const [creating, setCreating] = useState(false)
  return (
    <>
      <PageHead title="Jobs" about="Each job looks at the series of a dataset and reports what is unusual.">
        <Button size="sm" leftSection={<IconPlus size={16} />} onClick={() => setCreating(true)}>
          New job
        </Button>
      </PageHead>
      {jobs.isPending && <Skeleton height={140} radius="lg" />}
      {jobs.isLoadingError && <ProblemAlert error={jobs.error} onRetry={() => void jobs.refetch()} />}
      {jobs.data?.length === 0 && (
        <Panel title="Jobs">
          <EmptyNote icon={<IconPlayerPlay size={28} stroke={1.4} />} title="No jobs yet">
            Drop a CSV on the overview and it gets a job by itself, or make one here.
          </EmptyNote>
        </Panel>
      )}
      <div className={classes.list}>
        {jobs.data
          ?.toSorted((a, b) => b.createdAt.localeCompare(a.createdAt))
          .map((job) => (
            <JobCard key={job.id} job={job} />
          ))}
      </div>
      <Modal opened={creating} onClose={() => setCreating(false)} title="New job" size="lg">
        <JobForm onDone={() => setCreating(false)} />
      </Modal>
    </>
  )
}
