import { Cron } from 'croner'
import { invalidField } from '../errors.ts'

export type JobStatus = 'pending' | 'running' | 'completed' | 'failed' | 'cancelled' | 'paused'

/** When a job works: once over all there is, at the instants of a cron expression, or as points arrive. */
export type Schedule =
  | { readonly kind: 'once' }
  | { readonly kind: 'cron'; readonly cron: string; readonly timeZone?: string }
  | { readonly kind: 'streaming' }

/** Which series of the dataset a job watches; all of them where it is empty. */
export interface SeriesSelector {
  readonly metric?: string
  /** Series that carry at least these tags. */
  readonly tags?: Readonly<Record<string, string>>
}

/** Binds a detector to data and a schedule. */
export interface Job {
  readonly id: string
  readonly name: string
  readonly datasetId: string
  readonly datasetName: string
  readonly detectorId: string
  readonly schedule: Schedule
  readonly selector: SeriesSelector
  readonly status: JobStatus
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** What a person may do to a job, the states it may be in for that, and the state it is in afterwards. */
export const JOB_ACTIONS = {
  cancel: { from: ['pending', 'running', 'paused'], to: 'cancelled' },
  pause: { from: ['pending', 'running'], to: 'paused' },
  resume: { from: ['paused', 'cancelled', 'failed'], to: 'pending' },
} as const satisfies Record<string, { from: readonly JobStatus[]; to: JobStatus }>

export type JobAction = keyof typeof JOB_ACTIONS

/**
 * The first instant of a schedule after `after`; `undefined` for schedules that are not by the clock.
 * @throws NomalyError `invalid_input` that names what is wrong with the expression or the zone.
 */
export function nextOccurrence(schedule: Schedule, after: Date): Date | undefined {
  if (schedule.kind !== 'cron') return undefined
  const fields = schedule.cron.trim().split(/\s+/)
  if (fields.length !== 5)
    throw invalidField(
      'schedule.cron',
      `has ${fields.length} fields; five are expected, such as "*/5 * * * *"`,
    )
  try {
    new Intl.DateTimeFormat('en', { timeZone: schedule.timeZone ?? 'UTC' })
  } catch {
    throw invalidField(
      'schedule.timeZone',
      'is not a time zone of the IANA database, such as "Europe/Berlin"',
    )
  }
  let next: Date | null
  try {
    next = new Cron(schedule.cron, { timezone: schedule.timeZone ?? 'UTC', paused: true }).nextRun(after)
  } catch (error) {
    throw invalidField('schedule.cron', `cannot be understood (${(error as Error).message})`)
  }
  if (next === null) throw invalidField('schedule.cron', 'names no instant in the future')
  return next
}
