import fc from 'fast-check'
import type { JsonSchema } from './app-routes.ts'

/** Ids and names of things that exist, so that rubbish gets past the first look-up. */
export interface KnownThings {
  readonly tenantId: string
  readonly datasets: string
  readonly datasetName: string
  readonly series: string
  readonly jobs: string
  readonly runs: string
  readonly anomalies: string
  readonly detectors: string
  readonly keys: string
  readonly sessions: string
  readonly flags: string
  readonly settings: string
  /** One that takes parts, and the number of one that has come. */
  readonly backfills: string
  readonly parts: string
}

/** Longer than any text may be, shorter than all headers together may be. */
const LONG = 'x'.repeat(10_000)

/** Texts that have broken servers before. None of them is a sentence that the product itself writes. */
export const hostileText = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '0',
    '-1',
    '1e999',
    'NaN',
    'Infinity',
    '-Infinity',
    '9007199254740993',
    '99999999999999999999999999',
    '2147483648',
    '0x10',
    '1_000',
    'null',
    'undefined',
    'true',
    '[object Object]',
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    "'; drop table jobs; --",
    "' or '1'='1",
    '1); select pg_sleep(10); --',
    '%',
    '_',
    '\\',
    '../../../../etc/passwd',
    '..%2f..%2fetc%2fpasswd',
    '${7*7}',
    '{{7*7}}',
    '<script>alert(1)</script>',
    '\r\nset-cookie: a=b',
    '\u202e',
    '\ufeff',
    '💥'.repeat(60),
    'é'.normalize('NFD'),
    '00000000-0000-0000-0000-000000000000',
    '------------------------------------',
    'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF',
    '2026-02-30T25:61:61Z',
    '+275760-09-13T00:00:00.001Z',
    '-000001-01-01T00:00:00Z',
    '0000-00-00',
    '8640000000000001',
    'Mon, 01 Jan 2026 00:00:00 GMT',
  ),
  // What JSON can say and PostgreSQL cannot store, and what is too long everywhere.
  fc.constantFrom('a\0b', '\ud800', 'a\udc00b', LONG),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
)

/** Cursors: rubbish, those of other lists, and those that look right and hold what no list has given out. */
export const hostileCursor = fc.oneof(
  hostileText,
  fc
    .oneof(
      fc.constantFrom(
        '[]',
        '{}',
        'null',
        '[null]',
        '[1]',
        '[-1]',
        '[1e300]',
        '[9007199254740991]',
        '[1.5]',
        '["name"]',
        '["\\u0000"]',
        '["\\ud800"]',
        '["2026-01-01 00:00:00+00","------------------------------------"]',
        '["2026-01-01 00:00:00+00","00000000-0000-0000-0000-000000000000"]',
        '["2026-13-41 25:61:61+00","00000000-0000-0000-0000-000000000000"]',
        '["0000-00-00 00:00:00+00","00000000-0000-0000-0000-000000000000"]',
        '["9999-12-31 24:00:00.999999+00","00000000-0000-0000-0000-000000000000"]',
        '["2026-01-01 00:00:00+00","0-0-0-0-0-0-0-0-0-0-0-0-0-0-0-0-0-0-"]',
        '[["a"],["b"]]',
      ),
      fc.json(),
    )
    .map((text) => Buffer.from(text).toString('base64url')),
)

/** Texts of JSON values, whole ones, that no schema asks for. */
const hostileJson = fc.oneof(
  hostileText.map((text) => JSON.stringify(text)),
  fc.constantFrom(
    'null',
    'true',
    '0',
    '-0',
    '-1',
    '1e400',
    '-1e400',
    '1e308',
    '5e-324',
    '0.1',
    '123456789012345678901234567890',
    '[]',
    '{}',
    '[[]]',
    '"\\u0000"',
    '"\\ud800"',
    '"\\udfff\\ud800"',
    '{"\\u0000":"a"}',
    '{"\\ud800":"a"}',
    '{"__proto__":{"admin":true}}',
    '{"constructor":{"prototype":{"admin":true}}}',
    '{"a":"b","a":"c"}',
    `${'['.repeat(2_000)}${']'.repeat(2_000)}`,
    `${'{"a":'.repeat(2_000)}1${'}'.repeat(2_000)}`,
    JSON.stringify('y'.repeat(100_000)),
  ),
  fc.json({ maxDepth: 3 }),
)

/** JSON texts around a schema: mostly what it asks for, with one thing or another wrong, missing, or too much. */
export function jsonAround(
  schema: JsonSchema,
  known: KnownThings,
  field = '',
  depth = 0,
): fc.Arbitrary<string> {
  const sound = soundJson(schema, known, field, depth)
  // Seldom, so that most often one thing is wrong and nothing else hides what comes of it.
  return fc.oneof(
    { weight: depth === 0 ? 20 : 9, arbitrary: sound },
    { weight: 1, arbitrary: hostileLeaf(schema) },
  )
}

/** Of the right type most often: what is of another is caught at the door. */
function hostileLeaf(schema: JsonSchema): fc.Arbitrary<string> {
  if (schema['type'] !== 'string') return hostileJson
  return fc.oneof(
    { weight: 3, arbitrary: hostileText.map((text) => JSON.stringify(text)) },
    { weight: 1, arbitrary: hostileJson },
  )
}

function soundJson(
  schema: JsonSchema,
  known: KnownThings,
  field: string,
  depth: number,
): fc.Arbitrary<string> {
  const choices = (schema['anyOf'] ?? schema['oneOf']) as JsonSchema[] | undefined
  if (choices !== undefined)
    return fc.oneof(...choices.map((choice) => jsonAround(choice, known, field, depth)))
  if (schema['const'] !== undefined) return fc.constant(JSON.stringify(schema['const']))
  if (Array.isArray(schema['enum']))
    return fc.constantFrom(...schema['enum'].map((value) => JSON.stringify(value)))
  switch (schema['type']) {
    case 'object':
      return soundObject(schema, known, depth)
    case 'array':
      return fc
        .array(jsonAround(schema['items'] as JsonSchema, known, field, depth + 1), {
          minLength: 1,
          maxLength: 3,
        })
        .map((items) => `[${items.join(',')}]`)
    case 'integer':
      return field === 'seriesIds'
        ? fc.constant(known.series)
        : fc.integer({ min: 1, max: 100_000 }).map(String)
    case 'number':
      return fc.double({ min: 0.001, max: 1000, noNaN: true }).map((value) => JSON.stringify(value))
    case 'boolean':
      return fc.boolean().map(String)
    default:
      return soundText(field, known).map((text) => JSON.stringify(text))
  }
}

function soundObject(schema: JsonSchema, known: KnownThings, depth: number): fc.Arbitrary<string> {
  const properties = Object.entries((schema['properties'] ?? {}) as Record<string, JsonSchema>)
  const required = new Set((schema['required'] ?? []) as string[])
  const pattern = Object.values((schema['patternProperties'] ?? {}) as Record<string, JsonSchema>)[0]
  const entries = properties.map(([name, value]) =>
    fc
      .tuple(
        jsonAround(value, known, name, depth + 1),
        fc.integer({ min: 0, max: required.has(name) ? 20 : 1 }),
      )
      .map(([text, chance]) => (chance === 0 ? [] : [`${JSON.stringify(name)}:${text}`])),
  )
  const free = (): fc.Arbitrary<string[]> =>
    fc.array(
      fc
        .tuple(
          fc.oneof(hostileText, fc.constantFrom('window', 'alpha', 'host')),
          jsonAround(pattern!, known, '', depth + 1),
        )
        .map(([name, text]) => `${JSON.stringify(name)}:${text}`),
      { maxLength: 3 },
    )
  const extra = fc.oneof(
    { weight: 15, arbitrary: fc.constant<string[]>([]) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(hostileText, hostileJson)
        .map(([name, text]) => [`${JSON.stringify(name)}:${text}`]),
    },
  )
  return fc
    .tuple(...entries, ...(pattern === undefined ? [] : [free()]), extra)
    .map((parts) => `{${parts.flat().join(',')}}`)
}

/** A text that a field of this name may well hold. */
export function soundText(field: string, known: KnownThings): fc.Arbitrary<string> {
  const sound = soundTexts(known)[field]
  return sound === undefined ? fc.stringMatching(/^[a-z][a-z0-9-]{3,12}$/) : fc.constantFrom(...sound)
}

/** One text that a field of this name takes. */
export function sampleText(field: string, known: KnownThings): string {
  return soundTexts(known)[field]?.[0] ?? `sound-${Math.random().toString(36).slice(2, 10)}`
}

/** By field; the first of each is taken everywhere. */
function soundTexts(known: KnownThings): Readonly<Record<string, readonly string[]>> {
  return {
    dataset: [known.datasetName, known.datasets],
    datasetId: [known.datasets],
    detectorId: [known.detectors],
    jobId: [known.jobs],
    seriesId: [known.series],
    cron: ['*/5 * * * *', '0 0 30 2 *', '0 0 L * *', '* * * * * *', '99 99 99 99 99'],
    timeZone: ['Europe/Berlin', 'UTC', '+01:00'],
    url: ['http://127.0.0.1:9/', 'https://example.org/hook'],
    from: ['2026-01-01', '0', '2026-01-01T00:00:00+14:00', '-1'],
    to: ['2027-01-01', '4102444800000', '2026-01-01T00:00:00.123456Z', '99999999999999999'],
    tags: [
      '{}',
      '{"host":"a"}',
      '{"a":1}',
      '[]',
      '{"__proto__":"a"}',
      '{"\\ud800":"a"}',
      '{"a":"\\u0000"}',
      '{',
    ],
    limit: ['1', '500'],
    bucketSeconds: ['1', '60', '31622400'],
    band: ['true', 'false'],
    budgetAlarms: ['1', '0.5'],
    budgetPerSeconds: ['3600', '1e9'],
    state: ['open', 'open,dismissed'],
    severity: ['low', 'low,high'],
    algorithm: ['auto', 'ewma'],
    status: ['pending'],
    token: [`link_${'a'.repeat(43)}`],
    cursor: [
      Buffer.from('["2026-01-01 00:00:00+00","00000000-0000-0000-0000-000000000000"]').toString('base64url'),
      Buffer.from('[5]').toString('base64url'),
      Buffer.from('["known"]').toString('base64url'),
    ],
  }
}
