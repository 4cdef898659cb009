import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { Option, type Command } from 'commander'
import { loadConfig } from '../../config/load.ts'
import { NomalyError } from '../../errors.ts'
import { EXPORT_FORMATS, type ExportFormat } from '../../exporting/point-encoder.ts'
import { exportPerson } from '../../operations/erasure/export-person.ts'
import { Eraser } from '../../operations/erasure/open-eraser.ts'
import { requireKnown, resolveUser } from '../../operations/erasure/resolve-subject.ts'
import { withExamples } from '../help-examples.ts'
import { interruptible } from '../interruption.ts'
import { openApiClient, withServer, type ServerFlags } from '../open-api-client.ts'
import { note } from '../output.ts'
import { Progress } from '../progress.ts'
import { datasetPath } from './datasets.ts'

interface ExportFlags extends ServerFlags {
  readonly format: ExportFormat
  readonly output: string
  readonly from?: string
  readonly to?: string
  readonly metric?: string
  readonly user?: string
  readonly tenant?: string
}

/** Adds `nomaly export`. */
export function registerExport(program: Command): void {
  const command = program
    .command('export [dataset]')
    .description(
      'Writes the points of a dataset as CSV, NDJSON or Parquet. A file appears when it is whole.\n' +
        'What is written as CSV or NDJSON can be loaded again with `nomaly ingest`.\n' +
        'With --user, everything that is kept of a person, as JSON. For operators, on the database itself.',
    )
    .addOption(
      new Option('-f, --format <format>', 'format of the file').choices(EXPORT_FORMATS).default('csv'),
    )
    .option('-o, --output <file>', 'where to write it; - is standard output', '-')
    .option('--from <time>', 'only from this time on (ISO 8601, or milliseconds since 1970)')
    .option('--to <time>', 'only before this time')
    .option('-m, --metric <name>', 'only series of this metric')
    .option('--user <name>', 'of a person instead: name or id of their API key, address of their account')
    .option('--tenant <name>', 'with --user, of which tenant they are')
  withExamples(withServer(command), [
    ['nomaly export servers > servers.csv', 'everything'],
    ['nomaly export servers -f parquet -o servers.parquet', 'for other programs'],
    ['nomaly export servers --from 2026-01-01 --to 2026-02-01 --metric cpu', 'a part of it'],
    ['nomaly export --user alice -o alice.json', 'what is kept of her'],
  ])
  command.action(async (dataset: string | undefined) => {
    const flags = command.opts<ExportFlags>()
    if ((dataset === undefined) === (flags.user === undefined))
      throw new NomalyError('invalid_input', 'Say what to export.', {
        hint: 'Name a dataset, or a person with --user.',
        problems: [{ field: 'dataset', reason: 'must be given, unless --user is' }],
      })
    await interruptible((signal) =>
      dataset === undefined ? exportUser(flags.user!, flags, signal) : exportDataset(dataset, flags, signal),
    )
  })
}

async function exportDataset(dataset: string, flags: ExportFlags, signal: AbortSignal): Promise<void> {
  const { format, output, from, to, metric } = flags
  const isFile = output !== '-'
  if (!isFile && format === 'parquet' && process.stdout.isTTY)
    throw new NomalyError('invalid_input', 'Parquet is nothing to read at a terminal.', {
      hint: 'Name a file with --output.',
      problems: [{ field: 'output', reason: 'must be a file' }],
    })
  const client = await openApiClient(flags)
  await writeOut(
    await client.download(`${datasetPath(dataset)}/export`, { format, from, to, metric }, signal),
    output,
    signal,
  )
}

async function exportUser(name: string, { output, tenant }: ExportFlags, signal: AbortSignal): Promise<void> {
  await using eraser = await Eraser.open(loadConfig(), { log: note })
  const { core } = eraser.site
  const { subject } = await resolveUser(core, name, tenant)
  await requireKnown(core, name, subject, signal)
  const encoder = new TextEncoder()
  async function* bytes(): AsyncGenerator<Uint8Array> {
    for await (const part of exportPerson(core, { name, subject, now: new Date(), signal }))
      yield encoder.encode(part)
  }
  await writeOut(bytes(), output, signal, 0o600)
}

/** To standard output, or to a file that appears when it is whole. */
async function writeOut(
  bytes: AsyncIterable<Uint8Array>,
  output: string,
  signal: AbortSignal,
  mode = 0o666,
): Promise<void> {
  const isFile = output !== '-'
  const partial = `${output}.partial`
  try {
    const target = isFile ? createWriteStream(partial, { mode }) : process.stdout
    const size = await writeAll(bytes, target, signal)
    if (!isFile) return
    await rename(partial, output)
    note(`Wrote ${output} (${megabytes(size)}).`)
  } catch (error) {
    if (isFile) await rm(partial, { force: true })
    throw error
  }
}

/** Answers how many bytes there were. */
async function writeAll(
  bytes: AsyncIterable<Uint8Array>,
  target: NodeJS.WritableStream,
  signal: AbortSignal,
): Promise<number> {
  const progress = new Progress('Exporting', undefined)
  let size = 0
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const part of bytes) {
      size += part.length
      progress.update(0, megabytes(size))
      yield part
    }
  }
  try {
    await pipeline(counted, target, { signal, end: target !== process.stdout })
    return size
  } finally {
    progress.stop()
  }
}

function megabytes(size: number): string {
  return `${(size / 1e6).toLocaleString('en-US', { maximumFractionDigits: 1 })} MB`
}
