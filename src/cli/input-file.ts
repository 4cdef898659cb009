import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { addAbortSignal } from 'node:stream'
import { NomalyError } from '../errors.ts'
import { decompressed } from '../ingestion/decompressed.ts'
import { detectFormat, FORMAT_SAMPLE_BYTES } from '../ingestion/detect-format.ts'
import type { PointFormat } from '../ingestion/parsed-points.ts'

/** A file or standard input, opened for reading. */
export interface InputFile {
  /** What to call it in messages. */
  readonly name: string
  readonly format: PointFormat
  /** Its bytes, decompressed when it is gzip. */
  readonly bytes: AsyncIterable<Uint8Array>
  /** Size on disk in bytes; undefined for standard input. */
  readonly size: number | undefined
  /** Bytes read from disk so far. */
  readonly position: () => number
}

/** Opens a file, or standard input for `-`; its format is told from its first bytes unless given. The signal ends reading with an `AbortError`. */
export async function openInputFile(
  path: string,
  format?: PointFormat,
  signal?: AbortSignal,
): Promise<InputFile> {
  const size = path === '-' ? undefined : await sizeOf(path)
  let position = 0
  async function* raw(): AsyncGenerator<Uint8Array> {
    const source = path === '-' ? process.stdin : createReadStream(path, { highWaterMark: 262_144 })
    if (signal !== undefined) addAbortSignal(signal, source)
    for await (const chunk of source as AsyncIterable<Buffer>) {
      position += chunk.length
      yield chunk
    }
  }
  const iterator = decompressed(raw(), { encoding: 'detect' })
  let head = Buffer.alloc(0)
  // With a known format nothing is waited for: lines may come one by one.
  const wanted = format === undefined ? FORMAT_SAMPLE_BYTES : 0
  while (head.length < wanted) {
    const next = await iterator.next()
    if (next.done === true) break
    head = Buffer.concat([head, next.value])
  }
  async function* bytes(): AsyncGenerator<Uint8Array> {
    if (head.length > 0) yield head
    yield* iterator
  }
  return {
    name: path === '-' ? 'standard input' : path,
    format: format ?? detectFormat(head),
    bytes: bytes(),
    size,
    position: () => position,
  }
}

const PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'it may not be read by you',
  ENOTDIR: 'part of its path is a file',
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const found = await stat(path)
    if (found.isDirectory()) throw unreadable(path, 'it is a folder')
    return found.isFile() ? found.size : undefined
  } catch (error) {
    const problem = PROBLEMS[(error as NodeJS.ErrnoException).code ?? '']
    throw problem === undefined ? error : unreadable(path, problem, error)
  }
}

function unreadable(path: string, problem: string, cause?: unknown): NomalyError {
  return new NomalyError('invalid_input', `${path} cannot be read: ${problem}.`, {
    hint: 'Give the path of a CSV, NDJSON or JSON file, or - for standard input.',
    cause,
  })
}
