import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { decompressed, type DecompressOptions } from '../../src/ingestion/decompressed.ts'

async function* inPieces(data: string | Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(data)
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size)
}

async function read(data: string | Uint8Array, options: DecompressOptions, size = 7): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const bytes of decompressed(inPieces(data, size), options)) parts.push(Buffer.from(bytes))
  return Buffer.concat(parts).toString()
}

describe('decompressed', () => {
  const text = 'time,value\n'.repeat(1000)

  it('reads gzip, also of several members, and leaves the rest as it is', async () => {
    expect(await read(gzipSync(text), { encoding: 'gzip' })).toBe(text)
    expect(await read(Buffer.concat([gzipSync('a'), gzipSync('b')]), { encoding: 'detect' }, 1)).toBe('ab')
    expect(await read(text, { encoding: 'detect' }, 1)).toBe(text)
    expect(await read('', { encoding: 'detect' })).toBe('')
    expect(await read(text, { encoding: 'identity', maxBytes: text.length })).toBe(text)
  })

  it('stops a small file that grows without end', async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000))
    await expect(read(bomb, { encoding: 'gzip', maxBytes: 1_000_000 }, bomb.length)).rejects.toMatchObject({
      code: 'too_large',
    })
    await expect(read(text, { encoding: 'identity', maxBytes: 100 })).rejects.toMatchObject({
      code: 'too_large',
    })
  })

  it('says that it is damaged', async () => {
    const whole = gzipSync(text)
    for (const broken of [whole.subarray(0, whole.length - 9), Buffer.from('hello'), Buffer.alloc(0)]) {
      await expect(read(broken, { encoding: 'gzip' })).rejects.toMatchObject({ code: 'invalid_input' })
    }
  })

  it('passes on what fails at the source', async () => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield gzipSync(text).subarray(0, 20)
      throw new Error('the source broke')
    }
    const reading = async (): Promise<void> => {
      for await (const _ of decompressed(failing(), { encoding: 'gzip' }));
    }
    await expect(reading()).rejects.toThrow('the source broke')
  })
})
