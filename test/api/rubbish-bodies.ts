import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { hostileText } from './rubbish-values.ts'

/** Bytes and the headers that describe them, rightly or wrongly. */
export interface Body {
  readonly headers: Readonly<Record<string, string>>
  readonly bytes: Uint8Array | undefined
}

const bytesOf = (text: string): Uint8Array => Buffer.from(text)

/** Decompressed, it is a hundred times what an answer may have read. */
const ZIP_BOMB = gzipSync(Buffer.alloc(100_000_000, ' '), { level: 9 })

export const CONTENT_TYPES = [
  'application/json',
  'application/x-ndjson',
  'text/csv',
  'text/csv; charset=utf-16',
  'application/json; charset=latin1',
  'text/plain',
  'text/html',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'multipart/form-data',
  'application/octet-stream',
  'constructor/prototype',
  '__proto__',
  'application/json, text/csv',
  '/',
  ';',
  '',
]

/** What is wrong with a body whatever its format: cut, damaged, too large, another type, badly compressed. */
export function spoilt(sound: fc.Arbitrary<Body>): fc.Arbitrary<Body> {
  const withBytes = (change: (bytes: Buffer, seed: number) => Uint8Array): fc.Arbitrary<Body> =>
    fc
      .tuple(sound, fc.nat())
      .map(([body, seed]) => ({ ...body, bytes: change(Buffer.from(body.bytes ?? []), seed) }))
  const gzipped = (change: (bytes: Buffer, seed: number) => Uint8Array): fc.Arbitrary<Body> =>
    withBytes((bytes, seed) => change(gzipSync(bytes), seed)).map((body) => ({
      ...body,
      headers: { ...body.headers, 'content-encoding': 'gzip' },
    }))
  return fc.oneof(
    { weight: 8, arbitrary: sound },
    { weight: 1, arbitrary: withBytes((bytes, seed) => bytes.subarray(0, seed % (bytes.length + 1))) },
    { weight: 1, arbitrary: withBytes((bytes, seed) => damage(bytes, seed)) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(sound, fc.constantFrom(...CONTENT_TYPES))
        .map(([body, type]) => ({ ...body, headers: { 'content-type': type } })),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(sound, hostileBytes).map(([{ headers }, bytes]) => ({ headers, bytes })),
    },
    { weight: 1, arbitrary: gzipped((bytes) => bytes) },
    { weight: 1, arbitrary: gzipped((bytes, seed) => bytes.subarray(0, seed % bytes.length)) },
    { weight: 1, arbitrary: gzipped((bytes, seed) => damage(bytes, seed)) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(sound, fc.constantFrom('br', 'deflate', 'gzip, gzip', 'identity', 'x', 'gzip'))
        .map(([{ headers, bytes }, encoding]) => ({
          headers: { ...headers, 'content-encoding': encoding },
          bytes,
        })),
    },
    {
      weight: 2,
      arbitrary: sound.map(({ headers }) => ({
        headers: { ...headers, 'content-encoding': 'gzip' },
        bytes: ZIP_BOMB,
      })),
    },
    { weight: 2, arbitrary: sound.map(({ headers }) => ({ headers, bytes: Buffer.alloc(2_500_000, 'a') })) },
  )
}

function damage(bytes: Buffer, seed: number): Uint8Array {
  const damaged = Buffer.from(bytes)
  if (damaged.length > 0) damaged[seed % damaged.length] = 0xff
  return damaged
}

const hostileBytes = fc.oneof(
  fc.uint8Array({ maxLength: 60 }),
  fc.constantFrom(
    new Uint8Array(),
    bytesOf('\0'),
    Buffer.from([0xff, 0xfe, 0x7b, 0x00]),
    Buffer.from([0xef, 0xbb, 0xbf]),
    Buffer.from([0x1f, 0x8b, 0x08]),
    Buffer.from([0x22, 0xc3, 0x28, 0x22]),
    Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]),
    bytesOf('NaN'),
    bytesOf('{"a":NaN}'),
    bytesOf('{'),
    bytesOf('"'),
    bytesOf('[1,2'),
    bytesOf('{"__proto__":{"x":1}}'),
    bytesOf('{"a":{"__proto__":null}}'),
    bytesOf('['.repeat(100_000)),
    bytesOf('{"a":'.repeat(50_000)),
    bytesOf('<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'),
  ),
)

const jsonText = (text: string): string => JSON.stringify(text)
const field = (sound: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 4, arbitrary: sound },
    { weight: 1, arbitrary: hostileText.map(jsonText) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('null', '1e400', '[]', '{}', 'true', 'NaN', '-Infinity', '"NaN"', '1e151'),
    },
  )
const time = field(
  fc.oneof(
    // Few: each far year is a table of its own.
    fc.constantFrom('0', '1', '4102444799999', '4102444800000', '1767225600', '1767225600000000'),
    fc
      .integer({ min: 1_700_000_000_000, max: 1_700_100_000_000 })
      .map((ms) => jsonText(new Date(ms).toISOString())),
  ),
)
const value = field(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => JSON.stringify(number)),
)
const metric = field(fc.constantFrom('"cpu"', '"orders"', '"a b"'))
const tags = field(
  fc.constantFrom('{}', '{"host":"a"}', '{"a":1}', '{"__proto__":"x"}', '{"a":"\\u0000"}', '{"a":"\\ud800"}'),
)
const record = fc
  .tuple(time, metric, value, tags, fc.boolean())
  .map(([t, m, v, g, tagged]) => `{"time":${t},"metric":${m},"value":${v}${tagged ? `,"tags":${g}` : ''}}`)
const records = fc.array(record, { maxLength: 12 })

const cell = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: -1_000, max: 1_000 }).map(String) },
  { weight: 1, arbitrary: hostileText },
  {
    weight: 1,
    arbitrary: fc.constantFrom('"', '""', '"a', 'a"b', '"a""b"', '"a\nb"', '1,5', '1.234,5', 'NaN', ''),
  },
)
const csv = fc
  .tuple(
    fc.constantFrom(',', ';', '\t'),
    fc.oneof(
      fc.constantFrom(
        'time,value',
        'time,host,cpu',
        'timestamp,metric,value',
        'value',
        'time',
        'time,time,time',
        '"time,value',
      ),
      fc.array(hostileText, { maxLength: 5 }).map((names) => names.join(',')),
    ),
    fc.array(
      fc.tuple(
        fc.oneof(
          {
            weight: 5,
            arbitrary: fc
              .integer({ min: 0, max: 100_000 })
              .map((s) => new Date(1.7e12 + s * 1000).toISOString()),
          },
          { weight: 1, arbitrary: cell },
        ),
        fc.array(cell, { maxLength: 4 }),
      ),
      { maxLength: 15 },
    ),
  )
  .map(([separator, header, rows]) =>
    [
      header.replaceAll(',', separator),
      ...rows.map(([first, rest]) => [first, ...rest].join(separator)),
    ].join('\n'),
  )

/** Bodies of points in every format, some lines of them wrong. */
export const pointBody: fc.Arbitrary<Body> = fc.oneof(
  records.map((lines) => ({
    headers: { 'content-type': 'application/x-ndjson' },
    bytes: bytesOf(lines.join('\n')),
  })),
  records.map((lines) => ({
    headers: { 'content-type': 'application/json' },
    bytes: bytesOf(`[${lines.join(',')}]`),
  })),
  records.map((lines) => ({
    headers: { 'content-type': 'application/json' },
    bytes: bytesOf(`{"points":[${lines.join(',')}]}`),
  })),
  csv.map((text) => ({ headers: { 'content-type': 'text/csv' }, bytes: bytesOf(text) })),
)
