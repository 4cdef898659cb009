import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type LineSlice, lineSlices } from '../src/imports/line-slices.ts'

/** The text as a stream whose chunks end anywhere. */
function streamOf(text: string, chunkBytes: number): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder().encode(text)
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += chunkBytes)
        controller.enqueue(bytes.slice(at, at + chunkBytes))
      controller.close()
    },
  })
}

async function slicesOf(
  text: string,
  csv: boolean,
  maxBytes: number,
  chunkBytes: number,
): Promise<LineSlice[]> {
  const slices: LineSlice[] = []
  for await (const slice of lineSlices(streamOf(text, chunkBytes), { csv, maxBytes })) slices.push(slice)
  return slices
}

const decode = (slice: LineSlice): string => new TextDecoder().decode(slice.bytes)
const cell = fc.oneof(
  fc.stringMatching(/^[a-z0-9 ü]{0,8}$/),
  fc.constantFrom('"a\nb"', '"x, ""y"""', '"\n\n"'),
)
const records = fc.array(fc.tuple(cell, cell), { minLength: 1, maxLength: 40 })

test('slices of lines, put together, are the file', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.stringMatching(/^[^\n]{0,12}$/)),
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 1, max: 20 }),
      async (lines, maxBytes, chunkBytes) => {
        const text = lines.join('\n')
        const slices = await slicesOf(text, false, maxBytes, chunkBytes)
        expect(slices.map(decode).join('')).toBe(text)
        expect(slices.slice(0, -1).every((slice) => decode(slice).endsWith('\n'))).toBe(true)
      },
    ),
  )
})

test('slices of a CSV carry the header, keep quoted lines whole and know their line in the file', async () => {
  await fc.assert(
    fc.asyncProperty(
      records,
      fc.integer({ min: 20, max: 120 }),
      fc.integer({ min: 1, max: 30 }),
      async (rows, maxBytes, chunkBytes) => {
        const header = 'time,value\n'
        const text = header + rows.map((row) => `${row.join(',')}\n`).join('')
        const slices = await slicesOf(text, true, maxBytes, chunkBytes)
        expect(slices.every((slice) => decode(slice).startsWith(header))).toBe(true)
        const bodies = slices.map((slice) => decode(slice).slice(header.length))
        expect(header + bodies.join('')).toBe(text)
        expect(bodies.every((body) => (body.match(/"/g)?.length ?? 0) % 2 === 0)).toBe(true)
        let linesBefore = 1
        for (const [index, slice] of slices.entries()) {
          // Line 2 of a slice is the first after its header.
          expect(2 + slice.lineOffset).toBe(linesBefore + 1)
          linesBefore += (bodies[index] ?? '').split('\n').length - 1
        }
      },
    ),
  )
})
