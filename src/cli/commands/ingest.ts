import type { Command } from 'commander'
import { NomalyError } from '../../errors.ts'
import type { ApiClient } from '../api-client.ts'
import type { Dataset, Job } from '../api-entities.ts'
import { columnOverrides, withColumnOptions, type ColumnFlags } from '../column-options.ts'
import { printRejected } from '../detection-report.ts'
import { count } from '../format-cells.ts'
import { ingestFile, type IngestReport } from '../ingest-file.ts'
import { openInputFile } from '../input-file.ts'
import { interruptible } from '../interruption.ts'
import { paint, print, printJson } from '../output.ts'
import { addRemote, type RemoteFlags } from '../remote-command.ts'
import { watchJob } from '../watch-job.ts'
import { datasetPath } from './datasets.ts'

interface IngestFlags extends RemoteFlags, ColumnFlags {
  readonly dataset: string
  readonly detect?: boolean
  readonly watch?: boolean
}

/** Adds `nomaly ingest`. */
export function registerIngest(program: Command): void {
  addRemote<IngestFlags>(program, 'ingest <file>', {
    description:
      'Loads a CSV, NDJSON or JSON file (gzip too; - reads standard input) into a dataset, which is made when missing.\n' +
      'After an interruption simply repeat it: points that are there already are counted as duplicates.',
    options: (command) =>
      withColumnOptions(
        command
          .requiredOption('-d, --dataset <name>', 'dataset to load into')
          .option('--detect', 'watch the dataset from now on: makes a streaming job unless there is one')
          .option('-w, --watch', 'with --detect: stay and print anomalies as they are found'),
      ),
    examples: [
      ['nomaly ingest cpu.csv --dataset servers', 'columns are recognised'],
      ['nomaly ingest cpu.csv --dataset servers --detect --watch', 'and see what is found'],
      ['tail -f metrics.ndjson | nomaly ingest - --dataset live -f ndjson', 'from a pipe'],
    ],
    async run(client, flags, path) {
      await interruptible((signal) => ingest(client, flags, path, signal))
    },
  })
}

async function ingest(
  client: ApiClient,
  flags: IngestFlags,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const file = await openInputFile(path, flags.format, signal)
  const created = await ensureDataset(client, flags.dataset)
  const report = await ingestFile(client, flags.dataset, file, columnOverrides(flags), signal)
  const job = flags.detect === true ? await ensureJob(client, flags.dataset) : undefined
  if (flags.output === 'table') printReport(flags.dataset, created, report, job)
  else
    printJson({
      dataset: flags.dataset,
      created,
      ...report,
      columns: report.columns ?? null,
      jobId: job?.job.id ?? null,
    })
  if (job !== undefined && flags.watch === true) await watchJob(client, job.job.id, flags.output, signal)
}

/** Makes a dataset where it is missing; true when it had to be made. */
export async function ensureDataset(client: ApiClient, name: string): Promise<boolean> {
  try {
    await client.get<Dataset>(datasetPath(name))
    return false
  } catch (error) {
    if (!(error instanceof NomalyError) || error.code !== 'not_found') throw error
  }
  try {
    await client.post<Dataset>('/v1/datasets', { name })
    return true
  } catch (error) {
    // Somebody else was quicker.
    if (error instanceof NomalyError && error.code === 'conflict') return false
    throw error
  }
}

async function ensureJob(client: ApiClient, dataset: string): Promise<{ job: Job; made: boolean }> {
  const { id } = await client.get<Dataset>(datasetPath(dataset))
  const jobs = await client.list<Job>('/v1/jobs', {}, 1000)
  const streaming = jobs.find(
    (job) =>
      job.datasetId === id &&
      job.schedule.kind === 'streaming' &&
      !['cancelled', 'failed'].includes(job.status),
  )
  if (streaming !== undefined) return { job: streaming, made: false }
  const job = await client.post<Job>('/v1/jobs', {
    dataset: id,
    detector: {},
    schedule: { kind: 'streaming' },
  })
  return { job, made: true }
}

function printReport(
  dataset: string,
  created: boolean,
  report: IngestReport,
  job: { job: Job; made: boolean } | undefined,
): void {
  printRejected(report)
  const parts = [paint('bold', `${count(report.inserted, 'point')} inserted`)]
  if (report.duplicates > 0) parts.push(count(report.duplicates, 'duplicate'))
  if (report.conflicting > 0) {
    parts.push(
      paint('yellow', `${report.conflicting.toLocaleString('en-US')} conflicting (the first value was kept)`),
    )
  }
  if (report.rejectedTotal > 0)
    parts.push(paint('yellow', `${report.rejectedTotal.toLocaleString('en-US')} rejected`))
  print(`${parts.join(', ')} ${paint('dim', `· ${created ? 'new dataset' : 'dataset'} "${dataset}"`)}`)
  if (job === undefined)
    print(paint('dim', `Look for anomalies: nomaly jobs create ${dataset} --streaming --watch`))
  else print(`${job.made ? 'Now watched' : 'Watched'} by job ${job.job.id}: nomaly jobs watch ${job.job.id}`)
}
