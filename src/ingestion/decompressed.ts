import { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { NomalyError } from '../errors.ts'

export interface DecompressOptions {
  /** `detect` looks for the two bytes every gzip file starts with. */
  readonly encoding: 'gzip' | 'identity' | 'detect'
  /** Bytes after decompression; more end in a `too_large` error. No limit unless given. */
  readonly maxBytes?: number
}

/** Bytes as they were before compression, never more than allowed (RFC 1952; several members one after another are one). */
export async function* decompressed(
  input: AsyncIterable<Uint8Array>,
  options: DecompressOptions,
): AsyncGenerator<Uint8Array> {
  const bytes = options.encoding === 'detect' ? detected(input) : { gzip: options.encoding === 'gzip', input }
  const { gzip, input: source } = await bytes
  let total = 0
  for await (const chunk of gzip ? gunzip(source) : source) {
    total += chunk.length
    if (options.maxBytes !== undefined && total > options.maxBytes) throw tooLarge(options.maxBytes)
    yield chunk
  }
}

async function detected(
  input: AsyncIterable<Uint8Array>,
): Promise<{ gzip: boolean; input: AsyncIterable<Uint8Array> }> {
  const iterator = input[Symbol.asyncIterator]()
  let head = Buffer.alloc(0)
  while (head.length < 2) {
    const next = await iterator.next()
    if (next.done === true) break
    head = Buffer.concat([head, next.value])
  }
  const gzip = head[0] === 0x1f && head[1] === 0x8b
  async function* whole(): AsyncGenerator<Uint8Array> {
    try {
      if (head.length > 0) yield head
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next())
        yield next.value
    } finally {
      await iterator.return?.()
    }
  }
  return { gzip, input: whole() }
}

async function* gunzip(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const source = Readable.from(input, { objectMode: false })
  const stream = createGunzip()
  let sourceError: unknown
  source.on('error', (error) => {
    sourceError = error
    stream.destroy(error)
  })
  source.pipe(stream)
  try {
    yield* stream as AsyncIterable<Buffer>
  } catch (error) {
    if (sourceError !== undefined) throw sourceError
    throw new NomalyError('invalid_input', 'The gzip data is damaged or ends too early.', {
      hint: 'Compress it again, or send it uncompressed.',
      problems: [{ field: 'body', reason: 'not a whole gzip stream' }],
      cause: error,
    })
  } finally {
    source.destroy()
    stream.destroy()
  }
}

function tooLarge(maxBytes: number): NomalyError {
  const size = maxBytes < 1_048_576 ? `${maxBytes} bytes` : `${Math.floor(maxBytes / 1_048_576)} MB`
  return new NomalyError('too_large', `The data is larger than ${size} after decompression.`, {
    hint: 'Send it in several parts: repeating a part is harmless.',
    problems: [{ field: 'body', reason: `at most ${maxBytes} bytes after decompression` }],
  })
}
