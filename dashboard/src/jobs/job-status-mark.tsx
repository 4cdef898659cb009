import type { Job } from '../api/entities.ts'
import classes from './job-status-mark.module.css'

/** The state of a job in the words of someone who watches: a streaming job that works is "watching". */
export function JobStatusMark({ job, dot = false }: { job: Job; dot?: boolean }) {
  const word = statusWord(job)
  return (
    <span className={classes.mark} data-status={job.status} title={dot ? word : undefined}>
      <i
        className={classes.dot}
        role={dot ? 'img' : undefined}
        aria-label={dot ? word : undefined}
        aria-hidden={!dot}
      />
      {!dot && word}
    </span>
  )
}

function statusWord({ status, schedule }: Job): string {
  if (status === 'running' && schedule.kind === 'streaming') return 'watching'
  if (status === 'pending') return schedule.kind === 'once' ? 'waiting' : 'waiting for its turn'
  return status
}
