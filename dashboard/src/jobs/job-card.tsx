import { ActionIcon, Alert, Button, Group, Modal, Progress, Text, Tooltip } from '@mantine/core'
import { IconPlayerPause, IconPlayerPlay, IconPlayerStop, IconRefresh, IconTrash } from '@tabler/icons-react'
import { Link } from '@tanstack/react-router'
import { type ReactNode, useState } from 'react'
import type { Job, Run } from '../api/entities.ts'
import { formatCount } from '../layout/format-number.ts'
import { formatDuration } from '../layout/format-time.ts'
import { TimeText } from '../layout/time-text.tsx'
import { type JobAction, useJobAction } from './job-actions.ts'
import { JobStatusMark } from './job-status-mark.tsx'
import { budgetWords, scheduleWords, selectorWords } from './job-words.ts'
import classes from './jobs-page.module.css'
import { runProgress } from './run-progress.ts'

/** One job: state, what it does in words, its last run, and its buttons. */
export function JobCard({ job }: { job: Job }) {
  const action = useJobAction(job)
  const [deleting, setDeleting] = useState(false)
  const busy = action.isPending
  const { detector, lastRun } = job
  const failure = lastRun?.error ?? undefined
  const button = (name: JobAction, label: string, icon: ReactNode): ReactNode => (
    <Tooltip label={label} openDelay={300}>
      <ActionIcon
        variant="subtle"
        color="gray"
        aria-label={label}
        disabled={busy}
        onClick={() => action.mutate(name)}
      >
        {icon}
      </ActionIcon>
    </Tooltip>
  )
  const active = job.status === 'running' || job.status === 'pending'
  return (
    <article className={classes.card} aria-label={job.name}>
      <div className={classes.head}>
        <h2 className={classes.name}>{job.name}</h2>
        <JobStatusMark job={job} />
        <div className={classes.actions}>
          {job.schedule.kind !== 'streaming' &&
            button('run', 'Run now', <IconRefresh size={18} stroke={1.6} />)}
          {active && button('pause', 'Pause', <IconPlayerPause size={18} stroke={1.6} />)}
          {job.status === 'paused' && button('resume', 'Resume', <IconPlayerPlay size={18} stroke={1.6} />)}
          {(active || job.status === 'paused') &&
            button('cancel', 'Cancel', <IconPlayerStop size={18} stroke={1.6} />)}
          <Tooltip label="Delete" openDelay={300}>
            <ActionIcon
              variant="subtle"
              color="red"
              aria-label="Delete"
              disabled={busy}
              onClick={() => setDeleting(true)}
            >
              <IconTrash size={18} stroke={1.6} />
            </ActionIcon>
          </Tooltip>
        </div>
      </div>
      <p className={classes.about}>
        Looks at {selectorWords(job.selector)} of{' '}
        <Link to="/datasets/$dataset" params={{ dataset: job.datasetId }}>
          {job.datasetName}
        </Link>{' '}
        {scheduleWords(job.schedule)} with{' '}
        {detector.algorithm === 'auto' ? 'the detector that fits each series' : detector.algorithm},{' '}
        {budgetWords(detector.budget)}.
        {job.openAnomalies > 0 && (
          <>
            {' '}
            <Link to="/anomalies" search={{ dataset: job.datasetId }}>
              {formatCount(job.openAnomalies)} open {job.openAnomalies === 1 ? 'finding' : 'findings'}
            </Link>
            .
          </>
        )}
      </p>
      {lastRun !== null && <RunLine run={lastRun} streaming={job.schedule.kind === 'streaming'} />}
      {failure !== undefined && (
        <Alert color="red" title={failure.message}>
          {failure.hint}
        </Alert>
      )}
      <Modal opened={deleting} onClose={() => setDeleting(false)} title={`Delete “${job.name}”?`}>
        <Text size="sm" mb="md">
          Its findings go with it. The points of {job.datasetName} stay.
        </Text>
        <Group gap="xs">
          <Button
            color="red"
            loading={busy}
            onClick={() => {
              action.mutate('delete')
              setDeleting(false)
            }}
          >
            Delete the job
          </Button>
          <Button variant="default" onClick={() => setDeleting(false)}>
            Keep it
          </Button>
        </Group>
      </Modal>
    </article>
  )
}

function RunLine({ run, streaming }: { run: Run; streaming: boolean }) {
  const share = runProgress(run)
  const working = run.status === 'running' || run.status === 'pending'
  return (
    <div className={classes.run}>
      {working && share !== undefined && share < 1 && (
        <Progress
          className={classes.progress}
          value={share * 100}
          animated
          aria-label={`${run.seriesDone} of ${run.seriesTotal} series done`}
        />
      )}
      <span>
        {working ? (streaming ? 'Watching' : 'Run in progress') : `Last run ${run.status}`}
        {working && streaming && run.startedAt !== null && (
          <>
            {' since '}
            <TimeText at={run.startedAt} />
          </>
        )}
        {run.attempt > 1 && ` (attempt ${run.attempt})`}
        {run.finishedAt !== null && (
          <>
            {' '}
            <TimeText at={run.finishedAt} ago />
          </>
        )}
        {run.startedAt !== null && run.finishedAt !== null && (
          <> in {formatDuration(Date.parse(run.finishedAt) - Date.parse(run.startedAt))}</>
        )}
      </span>
      <span>
        {formatCount(run.seriesDone)}
        {run.seriesDone === run.seriesTotal ? '' : ` of ${formatCount(run.seriesTotal)}`} series
      </span>
      <span>{formatCount(run.pointsScanned)} points</span>
      <span>
        {formatCount(run.anomaliesFound)} {run.anomaliesFound === 1 ? 'finding' : 'findings'}
      </span>
    </div>
  )
}
