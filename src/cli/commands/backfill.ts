import type { Command } from 'commander'
import { NomalyError } from '../../errors.ts'
import type { ApiClient } from '../api-client.ts'
import type { Backfill } from '../api-entities.ts'
import {
  awaitMerge,
  type BackfillTarget,
  finishParts,
  type RefusedLines,
  sendParts,
} from '../backfill-file.ts'
import { columnOverrides, withColumnOptions, type ColumnFlags } from '../column-options.ts'
import { printRejected } from '../detection-report.ts'
import { openInputFile } from '../input-file.ts'
import { interruptible } from '../interruption.ts'
import { note, paint, print, printJson, tableLines } from '../output.ts'
import { addRemote, type RemoteFlags } from '../remote-command.ts'
import { datasetPath } from './datasets.ts'
import { ensureDataset } from './ingest.ts'

interface BackfillFlags extends RemoteFlags, ColumnFlags {
  readonly resume?: string
}

/** Adds `nomaly backfill`. */
export function registerBackfill(program: Command): void {
  addRemote<BackfillFlags>(program, 'backfill <dataset> <file>', {
    description:
      'Loads old points by the million (CSV, NDJSON or JSON, gzip too; - reads standard input) into a dataset, which is made when ' +
      'missing. They are sent in parts, gathered by the server, and merged into the dataset from the oldest on. What was sent is kept ' +
      'when it is interrupted: --resume goes on from there. Use ingest for a few points, and for those of now.',
    options: (command) =>
      withColumnOptions(
        command.option(
          '--resume <id>',
          'go on with a backfill that was interrupted, with the same file and options',
        ),
      ),
    examples: [
      ['nomaly backfill servers history.csv.gz', 'years of points'],
      [
        'nomaly backfill servers history.csv.gz --resume ID',
        'go on after an interruption, which prints the ID',
      ],
      ['zcat *.ndjson.gz | nomaly backfill servers - -f ndjson', 'from a pipe'],
    ],
    async run(client, flags, dataset, path) {
      await interruptible((signal) => backfill(client, flags, dataset, path, signal))
    },
  })
}

async function backfill(
  client: ApiClient,
  flags: BackfillFlags,
  dataset: string,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const refused: RefusedLines = { rejected: [], rejectedTotal: 0 }
  const created = flags.resume === undefined && (await begin(client, dataset, path, flags, signal))
  const before = await open(client, dataset, flags.resume)
  const target = { client, path: backfillPath(dataset, before.id), signal }
  let result: Backfill
  try {
    result = await carryOn(target, before, flags, path, refused)
  } catch (error) {
    const isOver = error instanceof NomalyError && error.code === 'not_found'
    if (!isOver) note(`To go on: ${paint('bold', resumeLine(dataset, path, before.id, flags))}`)
    throw error
  }
  if (flags.output === 'table') printResult(result, refused)
  else printJson({ dataset, created, ...result, ...refused })
  if (result.status !== 'completed')
    throw new NomalyError(
      'internal',
      `The backfill is ${result.status}: ${result.error?.message ?? 'no reason was recorded.'}`,
      {
        hint:
          result.error?.hint ??
          (result.status === 'failed'
            ? `Try again with ${resumeLine(dataset, path, before.id, flags)}`
            : 'What was merged before stays; begin again for the rest.'),
      },
    )
}

/** Looks at the file before anything is made on the server. */
async function begin(
  client: ApiClient,
  dataset: string,
  path: string,
  flags: BackfillFlags,
  signal: AbortSignal,
): Promise<boolean> {
  if (path !== '-') for await (const _ of (await openInputFile(path, flags.format, signal)).bytes) break
  return ensureDataset(client, dataset)
}

async function open(client: ApiClient, dataset: string, resume: string | undefined): Promise<Backfill> {
  if (resume === undefined) return client.post<Backfill>(`${datasetPath(dataset)}/backfills`)
  return client.get<Backfill>(backfillPath(dataset, resume))
}

/** Sends what is missing, has it merged and waits for that; from wherever the backfill stands. */
async function carryOn(
  target: BackfillTarget,
  before: Backfill,
  flags: BackfillFlags,
  path: string,
  refused: RefusedLines,
): Promise<Backfill> {
  if (before.status === 'receiving') {
    const file = await openInputFile(path, flags.format, target.signal)
    const parts = await sendParts(target, file, columnOverrides(flags), refused)
    await finishParts(target, parts)
  } else if (before.status === 'failed') await finishParts(target, before.parts.total!)
  return awaitMerge(target)
}

function backfillPath(dataset: string, id: string): string {
  return `${datasetPath(dataset)}/backfills/${encodeURIComponent(id)}`
}

function resumeLine(dataset: string, path: string, id: string, flags: BackfillFlags): string {
  const columns = [
    ['--format', flags.format],
    ['--time-column', flags.timeColumn],
    ...(flags.valueColumn ?? []).map((column) => ['--value-column', column]),
    ...(flags.tagColumn ?? []).map((column) => ['--tag-column', column]),
    ['--metric-column', flags.metricColumn],
  ].flatMap(([option, text]) => (text === undefined ? [] : [option!, text]))
  return ['nomaly backfill', ...[dataset, path, ...columns].map(quoted), '--resume', id].join(' ')
}

function quoted(word: string): string {
  return /^[\w./+@:=-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`
}

function printResult(result: Backfill, refused: RefusedLines): void {
  printRejected(refused)
  const rows: readonly (readonly [string, number, string])[] = [
    ['inserted', result.inserted, ''],
    ['duplicates', result.duplicates, 'there already, or twice in the file'],
    ['conflicting', result.conflicting, 'another value stands at that instant, and stays'],
    ['expired', result.expired, 'older than what the dataset keeps by now'],
    ['refused', refused.rejectedTotal, 'not points that can be stored'],
  ]
  const shown = rows.filter(([what, amount]) => amount > 0 || what === 'inserted')
  print(
    tableLines(shown, [
      ['Points', ([what]) => what],
      ['Number', ([, amount]) => amount.toLocaleString('en-US')],
      ['', ([, , meaning]) => meaning],
    ]),
  )
}
