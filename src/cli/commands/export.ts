import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { Option, type Command } from 'commander'
import { NomalyError } from '../../errors.ts'
import { EXPORT_FORMATS, type ExportFormat } from '../../exporting/point-encoder.ts'
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
}

/** Adds `nomaly export`. */
export function registerExport(program: Command): void {
  const command = program
    .command('export <dataset>')
    .description(
      'Writes the points of a dataset as CSV, NDJSON or Parquet. A file appears when it is whole.\n' +
        'What is written as CSV or NDJSON can be loaded again with `nomaly ingest`.',
    )
    .addOption(
      new Option('-f, --format <format>', 'format of the file').choices(EXPORT_FORMATS).default('csv'),
    )
    .option('-o, --output <file>', 'where to write it; - is standard output', '-')
    .option('--from <time>', 'only from this time on (ISO 8601, or milliseconds since 1970)')
    .option('--to <time>', 'only before this time')
    .option('-m, --metric <name>', 'only series of this metric')
  withExamples(withServer(command), [
    ['nomaly export servers > servers.csv', 'everything'],
    ['nomaly export servers -f parquet -o servers.parquet', 'for other programs'],
    ['nomaly export servers --from 2026-01-01 --to 2026-02-01 --metric cpu', 'a part of it'],
  ])
  command.action(async (dataset: string) => {
    await interruptible((signal) => exportDataset(dataset, command.opts<ExportFlags>(), signal))
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
  const bytes = await client.download(`${datasetPath(dataset)}/export`, { format, from, to, metric }, signal)
  const partial = `${output}.partial`
  try {
    const target = isFile ? createWriteStream(partial) : process.stdout
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
