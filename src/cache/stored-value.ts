import { promisify } from 'node:util'
import { constants, gunzip, gzip } from 'node:zlib'
import type { Position } from '../database/position.ts'
import { positionsText } from './floor.ts'

/** A value as it is kept where processes share it. */
export interface StoredValue {
  readonly generation: string
  /** Of the floors that it was read under, in the order of its tags. */
  readonly nonces: readonly string[]
  /** It is no older than these. */
  readonly positions: readonly Position[]
  /** Epoch milliseconds. */
  readonly expiresAtMs: number
  /** As JSON; `undefined`: there is nothing, which was looked up too. */
  readonly json: string | undefined
}

/** A value whose text is not read yet. */
export interface EncodedValue extends Omit<StoredValue, 'json' | 'positions'> {
  positions(): readonly Position[]
  /** @throws Error where it is damaged. */
  json(): Promise<string | undefined>
}

interface Header {
  readonly g: string
  readonly n: readonly string[]
  readonly p: readonly string[]
  readonly x: number
  readonly f: 'json' | 'gzip' | 'none'
}

/** Texts from this length are compressed. */
const COMPRESSED_FROM = 4_096

/** Writes a header of one line, and the value. */
export async function encodeStoredValue(value: StoredValue): Promise<string> {
  const { generation: g, nonces: n, expiresAtMs: x, json } = value
  const header = { g, n, p: positionsText.write(value.positions), x }
  const write = (f: Header['f'], body: string): string => `${JSON.stringify({ ...header, f })}\n${body}`
  if (json === undefined) return write('none', '')
  if (json.length < COMPRESSED_FROM) return write('json', json)
  const packed = await promisify(gzip)(json, { level: constants.Z_BEST_SPEED })
  // Base64, since the connection speaks text: a third more, of much less.
  const text = packed.toString('base64')
  return text.length < json.length ? write('gzip', text) : write('json', json)
}

/** Reads the header, which says whether the value is worth reading; `undefined` where it is none. */
export function decodeStoredValue(text: string): EncodedValue | undefined {
  const header = parseHeader(text)
  if (header === undefined) return undefined
  const { g, n, p, x, f } = header
  return {
    generation: g,
    nonces: n,
    positions: readLater(p),
    expiresAtMs: x,
    json: async () => {
      if (f === 'none') return undefined
      const body = text.slice(text.indexOf('\n') + 1)
      if (f === 'json') return body
      const packed = Buffer.from(body, 'base64')
      return (await promisify(gunzip)(packed, { maxOutputLength: 64 * 1024 * 1024 })).toString()
    },
  }
}

/** Most hits are never asked for them. On its own, so that what is kept does not hold on to the text of the value. */
function readLater(texts: readonly string[]): () => readonly Position[] {
  let positions: readonly Position[] | undefined
  return () => (positions ??= positionsText.read(texts))
}

function parseHeader(text: string): Header | undefined {
  const end = text.indexOf('\n')
  if (end === -1 || end > 65_536) return undefined
  try {
    const header = JSON.parse(text.slice(0, end)) as Partial<Header>
    const isWhole =
      typeof header.g === 'string' &&
      Array.isArray(header.n) &&
      Array.isArray(header.p) &&
      typeof header.x === 'number' &&
      (header.f === 'json' || header.f === 'gzip' || header.f === 'none')
    return isWhole ? (header as Header) : undefined
  } catch {
    return undefined
  }
}
