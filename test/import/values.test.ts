import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { canonicalValue } from '../../src/operations/import/checksum.ts'
import { datasetName, tenantName } from '../../src/operations/import/fit-name.ts'
import { instantText, LocalTime } from '../../src/operations/import/local-time.ts'
import { common, hashSeries, PointSet } from '../../src/operations/import/point-set.ts'
import { isStorableJson, parsePythonJson } from '../../src/operations/import/python-json.ts'
import { soundId } from '../../src/operations/import/source-id.ts'
import { severityOfRow } from '../../src/operations/import/convert-result.ts'
import { DATASET_NAME } from '../../src/datasets/dataset.ts'

const UUID = '0f8fad5b-d9cb-469f-a165-70867728950e'

describe('an id', () => {
  test.for([
    [UUID, UUID, 'kept'],
    [UUID.replaceAll('-', ''), UUID, 'kept'],
    [UUID.toUpperCase(), UUID, 'kept'],
    [5n, '00000000-0000-0000-0000-000000000005', 'recovered'],
    [9_007_199_254_740_993n, '00000000-0000-0000-9007-199254740993', 'recovered'],
  ] as const)('%s is %s', ([value, id, origin]) => {
    expect(soundId(value)).toEqual({ id, origin })
  })

  it('of another form gets a UUID that is always the same', () => {
    const first = soundId('detector-7')
    expect(first).toMatchObject({
      origin: 'derived',
      id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-8/),
    })
    expect(soundId('detector-7')).toEqual(first)
    expect(soundId('detector-8')).not.toEqual(first)
  })

  it('that became a rounded number, or is missing, is not guessed', () => {
    expect(soundId(1.2345678901234567e31)).toContain('what it was is lost')
    for (const value of [null, undefined, '', -1n, new Uint8Array(16)])
      expect(typeof soundId(value)).toBe('string')
  })
})

describe('a time', () => {
  const utc = new LocalTime('UTC')
  const berlin = new LocalTime('Europe/Berlin')
  test.for([
    ['2025-06-01 00:00:00.659215', '2025-06-01 00:00:00.659215+00', '2025-05-31 22:00:00.659215+00'],
    ['2025-06-01 00:00:00', '2025-06-01 00:00:00.000000+00', '2025-05-31 22:00:00.000000+00'],
    ['2025-06-01T01:00:00', '2025-06-01 01:00:00.000000+00', '2025-05-31 23:00:00.000000+00'],
    ['2025-01-01T01:00:00.5+02:00', '2024-12-31 23:00:00.500000+00', '2024-12-31 23:00:00.500000+00'],
    ['2025-01-01 01:00:00.000001Z', '2025-01-01 01:00:00.000001+00', '2025-01-01 01:00:00.000001+00'],
    ['2025-01-01', '2025-01-01 00:00:00.000000+00', '2024-12-31 23:00:00.000000+00'],
    // Twice: the earlier one. Never: with the offset from before.
    ['2025-10-26 02:30:00', '2025-10-26 02:30:00.000000+00', '2025-10-26 00:30:00.000000+00'],
    ['2025-03-30 02:30:00', '2025-03-30 02:30:00.000000+00', '2025-03-30 01:30:00.000000+00'],
  ] as const)('%s is %s in UTC and %s in Berlin', ([text, inUtc, inBerlin]) => {
    expect(instantText(utc.parse(text))).toBe(inUtc)
    expect(instantText(berlin.parse(text))).toBe(inBerlin)
  })

  it('that there is not is none', () => {
    for (const text of [
      '',
      'soon',
      '2025-02-30 00:00:00.000000',
      '2025-13-01',
      '2025-01-01 25:00:00',
      '1748736000',
    ])
      expect(utc.parse(text)).toBeNaN()
    expect(() => new LocalTime('Nowhere/Land')).toThrow(/no time zone/)
    expect(instantText(new LocalTime('+02:00').parse('2025-01-01 02:00:00'))).toBe(
      '2025-01-01 00:00:00.000000+00',
    )
  })

  it('keeps every microsecond', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 4_102_444_799 }),
        fc.integer({ min: 0, max: 999_999 }),
        (seconds, micros) => {
          const text = `${new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ')}.${String(micros).padStart(6, '0')}`
          expect(instantText(utc.parse(text))).toBe(`${text}+00`)
        },
      ),
    )
  })
})

describe('JSON of Python', () => {
  it('keeps its text, and its tokens become texts outside of strings only', () => {
    expect(parsePythonJson('{"a": 12345678901234567890}')?.text).toBe('{"a": 12345678901234567890}')
    expect(parsePythonJson('[NaN, -Infinity, Infinity, "NaN \\" NaN", 1]')).toMatchObject({
      value: ['NaN', '-Infinity', 'Infinity', 'NaN " NaN', 1],
      hasTokens: true,
    })
    expect(parsePythonJson("{'a': 1}")).toBeUndefined()
    expect(parsePythonJson('[NaN')).toBeUndefined()
  })

  it('that PostgreSQL would refuse is known', () => {
    expect(isStorableJson(JSON.parse(String.raw`{"a": "b\u0000"}`))).toBe(false)
    expect(isStorableJson(JSON.parse(String.raw`{"a": "\ud800"}`))).toBe(false)
    expect(isStorableJson(JSON.parse(String.raw`{"a": "\\u0000 \ud83d\ude00"}`))).toBe(true)
  })
})

it('names are made to fit, and there is another for when they are taken', () => {
  expect(datasetName(`Dataset 0 'quoted' "x"`, UUID)).toEqual({
    name: 'Dataset-0-quoted-x',
    fallback: 'Dataset-0-quoted-x-0f8fad5b',
  })
  expect(tenantName('Tenant 0 é 漢', UUID).name).toBe('tenant-0-e')
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 300 }), (name) => {
      for (const made of Object.values(datasetName(name, UUID))) expect(made).toMatch(DATASET_NAME)
      for (const made of Object.values(tenantName(name, UUID)))
        expect(made).toMatch(/^[a-z0-9][a-z0-9-]{0,62}$/)
    }),
  )
})

it('severity follows the score', () => {
  expect([0.95, 0.9, 0.71, 0.7, 0.51, 0.5, Number.NaN, null].map(severityOfRow)).toEqual([
    'critical',
    'high',
    'high',
    'medium',
    'medium',
    'low',
    'low',
    'low',
  ])
})

it('values are the same however they are written, and differ where they differ', () => {
  expect(canonicalValue('jsonb', '{"b": 1, "a": [1.0]}')).toBe(canonicalValue('jsonb', '{"a":[1],"b":1}'))
  expect(canonicalValue('float8[]', '{1e-7,NULL,NaN}')).toBe(
    canonicalValue('float8[]', '{0.0000001,NULL,NaN}'),
  )
  expect(canonicalValue('boolean[]', '{true,false}')).toBe(canonicalValue('boolean[]', '{t,f}'))
  expect(canonicalValue('text', '')).not.toBe(canonicalValue('text', null))
})

it('sets of points are told apart by one bit of one of them', () => {
  const [a, b] = [hashSeries('a'), hashSeries('b')]
  const set = (points: readonly (readonly [typeof a, number, number])[]): Float64Array => {
    const points64 = new PointSet(1, 0)
    for (const point of points) points64.add(...point)
    return points64.distinct()
  }
  const base = [1.5, 2, 3].flatMap((value, at) => [
    [a, at * 1e15, value] as const,
    [b, at * 1e15, value] as const,
  ])
  const both = (other: typeof base): number => common(set(base), set(other)).count
  expect(set([...base, ...base])).toEqual(set(base.toReversed()))
  expect(both(base)).toBe(6)
  expect(both(base.with(0, [a, 1, 1.5]))).toBe(5)
  expect(both(base.with(0, [a, 0, 1.500_000_000_000_000_2]))).toBe(5)
  expect(both(base.with(0, [b, 0, 1]))).toBe(5)
  expect(set([[a, 0, -0]])).toEqual(set([[a, 0, 0]]))
  const parts = [0, 1, 2].map((pass) => {
    const part = new PointSet(3, pass)
    for (const point of base) part.add(...point)
    return part.distinct().length
  })
  expect(parts.reduce((sum, count) => sum + count)).toBe(6)
})
