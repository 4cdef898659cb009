import type { Command } from 'commander'
import { NomalyError } from '../../errors.ts'
import type { Job, Run, Schedule } from '../api-entities.ts'
import { confirm, withYes, type ConfirmFlags } from '../confirm.ts'
import { count, formatBudget, formatTime } from '../format-cells.ts'
import { interruptible } from '../interruption.ts'
import { paint, print, printItem, printItems, type Column } from '../output.ts'
import { addNoun, addRemote, collectTag, withLimit, type RemoteFlags } from '../remote-command.ts'
import { watchJob } from '../watch-job.ts'
import { detectorBody, withDetector, type DetectorFlags } from './detectors.ts'

const STATUS_STYLES = {
  pending: 'dim',
  running: 'cyan',
  completed: 'green',
  failed: 'red',
  cancelled: 'dim',
  paused: 'yellow',
} as const

const COLUMNS: readonly Column<Job>[] = [
  ['Name', (job) => job.name],
  ['Dataset', (job) => job.datasetName],
  ['Schedule', (job) => scheduleText(job.schedule)],
  ['Status', (job) => paint(STATUS_STYLES[job.status], job.status)],
  ['Open', (job) => String(job.openAnomalies)],
  ['Id', (job) => job.id],
  ['Last run', (job) => runText(job)],
]
const FIELDS: readonly Column<Job>[] = [
  ...COLUMNS.filter(([title]) => title !== 'Open'),
  ['Open anomalies', (job) => String(job.openAnomalies)],
  ['Detector', (job) => `${job.detector.algorithm}, ${formatBudget(job.detector.budget)} and series`],
  ['Looks at', (job) => selectorText(job)],
  ['Created', (job) => formatTime(job.createdAt)],
]

function scheduleText(schedule: Schedule): string {
  return schedule.kind === 'cron' ? `cron ${schedule.cron} ${schedule.timeZone ?? 'UTC'}` : schedule.kind
}

function selectorText({ selector }: Job): string {
  const parts = Object.entries(selector?.tags ?? {}).map(([name, value]) => `${name}=${value}`)
  if (selector?.metric !== undefined) parts.unshift(selector.metric)
  return parts.length === 0 ? 'all series' : parts.join(' ')
}

function runText({ lastRun: run, schedule }: Job): string {
  if (run === null) return '–'
  const series = run.seriesTotal ?? 0
  if (run.status === 'pending') return 'about to run'
  if (run.status === 'running') {
    return schedule.kind === 'streaming'
      ? `watches ${count(series, 'series', 'series')}`
      : `${run.seriesDone} of ${series} series done`
  }
  if (run.error !== null) return `failed: ${run.error.message}`
  const at = formatTime((run.finishedAt ?? run.startedAt)?.replace(/\.\d+/, ''))
  return `${run.status} ${at}, ${count(run.anomaliesFound, 'anomaly', 'anomalies')}`
}

interface CreateFlags extends RemoteFlags, DetectorFlags {
  readonly name?: string
  readonly cron?: string
  readonly timeZone?: string
  readonly streaming?: boolean
  readonly detector?: string
  readonly metric?: string
  readonly tag?: Record<string, string>
  readonly watch?: boolean
}

/** Adds `nomaly jobs …`. */
export function registerJobs(program: Command): void {
  const jobs = addNoun(
    program,
    'jobs',
    'Jobs: detection on a dataset, once, by a clock, or as points arrive.',
    [
      ['nomaly jobs list', 'what is watched'],
      ['nomaly jobs create servers --streaming', 'keep watching a dataset'],
      ['nomaly jobs watch 3f0c2b1e-…', 'see what is found'],
    ],
  )
  addRemote<RemoteFlags & { limit: number }>(jobs, 'list', {
    description: 'Lists jobs.',
    options: withLimit,
    examples: [['nomaly jobs list', 'with their last run']],
    async run(client, { output, limit }) {
      const items = await client.list<Job>('/v1/jobs', {}, limit)
      printItems(output, items, COLUMNS, 'There are no jobs: make one with `nomaly jobs create DATASET`.')
    },
  })
  addRemote(jobs, 'show <id>', {
    description: 'Shows one job.',
    examples: [['nomaly jobs show 3f0c2b1e-…', 'ids stand in the list']],
    async run(client, { output }, id) {
      printItem(output, await client.get<Job>(jobPath(id)), FIELDS)
    },
  })
  addRemote<CreateFlags>(jobs, 'create <dataset>', {
    description: 'Creates a job on a dataset; it runs once unless told otherwise.',
    options: (command) =>
      withDetector(command)
        .option('--name <name>', 'what to call it')
        .option('--streaming', 'watch points as they arrive')
        .option('--cron <expression>', 'run by a clock, such as "0 6 * * *"')
        .option('--time-zone <zone>', 'time zone of the clock, such as Europe/Berlin')
        .option('--detector <id>', 'use this detector instead of settings given here')
        .option('-m, --metric <name>', 'only series of this metric')
        .option('-t, --tag <name=value>', 'only series with this tag; repeat it for several', collectTag)
        .option('-w, --watch', 'stay and watch it'),
    examples: [
      ['nomaly jobs create servers --streaming', 'keep watching, settings picked by itself'],
      ['nomaly jobs create servers --watch', 'look once, and wait for the result'],
      ['nomaly jobs create sales --cron "0 6 * * *" --time-zone Europe/Berlin', 'each morning'],
      ['nomaly jobs create servers --metric cpu --budget "1 per month"', 'one metric, fewer alarms'],
    ],
    async run(client, flags, dataset) {
      const job = await client.post<Job>('/v1/jobs', { dataset, ...jobBody(flags) })
      printItem(flags.output, job, FIELDS)
      if (flags.watch === true)
        await interruptible((signal) => watchJob(client, job.id, flags.output, signal))
    },
  })
  addRemote(jobs, 'run <id>', {
    description: 'Runs a job now.',
    examples: [['nomaly jobs run 3f0c2b1e-…', 'beside its schedule']],
    async run(client, { output }, id) {
      const run = await client.post<Run>(`${jobPath(id)}/runs`)
      printItem(output, run, [
        ['Run', (item) => item.id],
        ['Status', (item) => item.status],
      ])
    },
  })
  addRemote(jobs, 'watch <id>', {
    description: 'Follows a job: its progress, and anomalies as they are found. Ends when the job does.',
    examples: [
      ['nomaly jobs watch 3f0c2b1e-…', 'Ctrl-C stops watching, not the job'],
      ['nomaly jobs watch 3f0c2b1e-… -o ndjson', 'a line of JSON an anomaly'],
    ],
    async run(client, { output }, id) {
      await interruptible((signal) => watchJob(client, id, output, signal))
    },
  })
  for (const [verb, description] of [
    ['cancel', 'Cancels a job: a run in progress ends, and none follows.'],
    ['pause', 'Pauses a job with a schedule.'],
    ['resume', 'Resumes a paused job.'],
  ] as const) {
    addRemote(jobs, `${verb} <id>`, {
      description,
      examples: [[`nomaly jobs ${verb} 3f0c2b1e-…`, 'ids stand in the list']],
      async run(client, { output }, id) {
        printItem(output, await client.post<Job>(`${jobPath(id)}/${verb}`), FIELDS)
      },
    })
  }
  addRemote<RemoteFlags & ConfirmFlags>(jobs, 'delete <id>', {
    description: 'Deletes a job with its anomalies.',
    options: withYes,
    examples: [['nomaly jobs delete 3f0c2b1e-… --yes', 'without asking']],
    async run(client, flags, id) {
      await confirm(`Delete job ${id} with its anomalies?`, flags)
      await client.delete(jobPath(id))
      if (flags.output === 'table') print(`Deleted job ${id}.`)
    },
  })
}

function jobBody(flags: CreateFlags) {
  if (flags.cron !== undefined && flags.streaming === true) {
    throw new NomalyError('invalid_input', 'A job is either streaming or run by a clock.', {
      hint: 'Leave out --streaming or --cron.',
    })
  }
  const settings = detectorBody(flags)
  const selector = {
    ...(flags.metric === undefined ? {} : { metric: flags.metric }),
    ...(flags.tag === undefined ? {} : { tags: flags.tag }),
  }
  return {
    ...(flags.name === undefined ? {} : { name: flags.name }),
    ...(flags.detector === undefined ? { detector: settings } : { detectorId: flags.detector }),
    ...(Object.keys(selector).length === 0 ? {} : { selector }),
    schedule: scheduleBody(flags),
  }
}

function scheduleBody({ cron, timeZone, streaming }: CreateFlags): Schedule {
  if (cron !== undefined) return { kind: 'cron', cron, ...(timeZone === undefined ? {} : { timeZone }) }
  return { kind: streaming === true ? 'streaming' : 'once' }
}

function jobPath(id: string): string {
  return `/v1/jobs/${encodeURIComponent(id)}`
}
