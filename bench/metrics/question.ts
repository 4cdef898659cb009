import type { Workload } from './workload.ts'

/** What points a question is of: all of them where nothing is named. */
export interface Selection {
  /** UUID. */
  readonly job?: string
  readonly metric?: string
  readonly host?: string
}

/** A question of a dashboard's, as every side is asked it. */
export type Question = {
  readonly id: QuestionId
  readonly title: string
} & (
  | {
      /** Count, sum, minimum and maximum by hour; of each metric where `byMetric`, else of all together. */
      readonly kind: 'hours'
      readonly select: Selection
      /** What is asked for instead, one after the other, when the question is asked again: nobody looks at one thing for ever. */
      readonly others?: readonly Selection[]
      readonly fromMs: number
      readonly toMs: number
      readonly byMetric: boolean
    }
  | {
      /** The jobs with the greatest sums of a metric. */
      readonly kind: 'top'
      readonly metric: string
      readonly fromMs: number
      readonly toMs: number
      readonly limit: number
    }
  | {
      /** Time and value of the newest point of each job, of some metrics. */
      readonly kind: 'latest'
      readonly metrics: readonly string[]
    }
)

export type QuestionId =
  | 'series-day'
  | 'metric-week'
  | 'all-week'
  | 'top-jobs'
  | 'latest'
  | 'latest-all'
  | 'tag-day'

/** The question as it is asked for the nth time. */
export function inTurn(question: Question, turn: number): Question {
  if (question.kind !== 'hours' || question.others === undefined) return question
  return { ...question, select: question.others[turn % question.others.length]! }
}

/** A row of an answer. What a question does not ask for is 0. */
export interface AnswerRow {
  /** A metric, or a job and a metric, or nothing. */
  readonly group: string
  readonly timeMs: number
  readonly count: number
  readonly sum: number
  readonly min: number
  readonly max: number
}

/** The sums and extremes of a group, from what a database answers as an array. */
export function toRow(group: string, timeMs: number, [count, sum, min, max]: readonly number[]): AnswerRow {
  return { group, timeMs, count: count!, sum: sum!, min: min!, max: max! }
}

/** A row that only has a value: kept as sum, minimum and maximum alike. */
export function valueRow(group: string, timeMs: number, value: number): AnswerRow {
  return { group, timeMs, count: 0, sum: value, min: value, max: value }
}

const DAY_MS = 86_400_000

/** The questions, about the newest points of a workload; none of them about what was before `earliestMs`. */
export function questionsAbout({ jobs, metrics, endMs }: Workload, earliestMs = -Infinity): Question[] {
  const day = { kind: 'hours', fromMs: endMs - DAY_MS, toMs: endMs } as const
  const week = { kind: 'hours', fromMs: Math.max(earliestMs, endMs - 7 * DAY_MS), toMs: endMs } as const
  const { id: job, host } = jobs[42]!
  return [
    {
      id: 'series-day',
      title: '24 h by hour, one series',
      ...day,
      select: { job, metric: 'latency_mean_ms' },
      others: jobs.map(({ id }) => ({ job: id, metric: 'latency_mean_ms' })),
      byMetric: false,
    },
    {
      id: 'metric-week',
      title: '7 d by hour, one metric over all jobs',
      ...week,
      select: { metric: 'cpu_percent' },
      byMetric: false,
    },
    { id: 'all-week', title: '7 d by hour, everything', ...week, select: {}, byMetric: false },
    {
      id: 'top-jobs',
      title: 'top ten jobs by anomalies in 7 d',
      kind: 'top',
      metric: 'anomalies',
      fromMs: week.fromMs,
      toMs: week.toMs,
      limit: 10,
    },
    { id: 'latest', title: 'last point of every job', kind: 'latest', metrics: ['score_mean'] },
    { id: 'latest-all', title: 'last points of every job, all metrics', kind: 'latest', metrics },
    {
      id: 'tag-day',
      title: 'tag filter over 24 h, by metric and hour',
      ...day,
      select: { host },
      others: [...new Set(jobs.map((one) => one.host))].map((name) => ({ host: name })),
      byMetric: true,
    },
  ]
}

/**
 * Holds an answer against another: groups, times, counts and extremes must be the same, sums to 1e-9 of each other.
 * @throws Error that names the first difference.
 */
export function requireSame(
  what: string,
  answer: readonly AnswerRow[],
  expected: readonly AnswerRow[],
): void {
  const fail = (reason: string): never => {
    throw new Error(`${what}: ${reason}. What is measured would be worth nothing.`)
  }
  if (answer.length !== expected.length) fail(`${answer.length} rows instead of ${expected.length}`)
  const wanted = expected.toSorted(byGroupAndTime)
  for (const [i, row] of answer.toSorted(byGroupAndTime).entries()) {
    const { sum, ...exact } = wanted[i]!
    for (const [name, value] of Object.entries(exact))
      if (row[name as keyof AnswerRow] !== value)
        fail(`${name} of row ${i} is ${row[name as keyof AnswerRow]} instead of ${value}`)
    if (!(Math.abs(row.sum - sum) <= 1e-9 * Math.abs(sum)))
      fail(`sum of row ${i} is ${row.sum} instead of ${sum}`)
  }
}

function byGroupAndTime(a: AnswerRow, b: AnswerRow): number {
  if (a.group !== b.group) return a.group < b.group ? -1 : 1
  return a.timeMs - b.timeMs
}
