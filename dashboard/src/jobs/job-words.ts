import type { Job } from '../api/entities.ts'

const spans: [number, string][] = [
  [3600, 'hour'],
  [86_400, 'day'],
  [604_800, 'week'],
  [2_592_000, 'month'],
]

/** The spans a false-alarm budget can be given for, in seconds. */
export const budgetSpans = spans.map(([seconds, label]) => ({ value: String(seconds), label }))

/** A false-alarm budget in words: "at most 1 false alarm per week per series". */
export function budgetWords({ alarms, perSeconds }: Job['detector']['budget']): string {
  const span =
    spans.find(([seconds]) => seconds === perSeconds)?.[1] ?? `${Math.round(perSeconds / 36) / 100} hours`
  return `at most ${alarms} false ${alarms === 1 ? 'alarm' : 'alarms'} per ${span} per series`
}

/** When a job looks, in words. */
export function scheduleWords(schedule: Job['schedule']): string {
  if (schedule.kind === 'once') return 'once'
  if (schedule.kind === 'streaming') return 'as points arrive'
  return `on the schedule ${schedule.cron}${schedule.timeZone === undefined ? '' : ` (${schedule.timeZone})`}`
}

/** Which series a job looks at, in words. */
export function selectorWords(selector: Job['selector']): string {
  const parts = [
    selector?.metric,
    ...Object.entries(selector?.tags ?? {}).map(([key, value]) => `${key}=${value}`),
  ].filter((part) => part !== undefined)
  return parts.length === 0 ? 'all series' : parts.join(' ')
}
