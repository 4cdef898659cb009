import { describe, expect, it } from 'vitest'
import { NomalyError } from '../../src/errors.ts'
import { parsePoints } from '../../src/ingestion/parse-points.ts'
import { inPieces, readPoints } from './read-points.ts'

const TIME = '2026-01-01T00:00:00Z'
const POINT = `{"time":"${TIME}","value":1}`
const line = (fields: Record<string, unknown>): string => JSON.stringify({ time: TIME, value: 1, ...fields })

async function reasonsOf(text: string): Promise<string[]> {
  return (await readPoints('ndjson', text)).rejected.map(({ line: at, reason }) => `${at} ${reason}`)
}

describe('NDJSON', () => {
  it('reads metric, tags, time and value, whatever the line ends', async () => {
    const text = `\ufeff${line({ metric: 'cpu', tags: { host: 'a', core: 3, idle: true, none: null } })}\r\n\r\n  \n${POINT}`
    const { points, rejectedTotal } = await readPoints('ndjson', text)
    expect(points).toEqual([
      {
        line: 1,
        time: '2026-01-01T00:00:00.000Z',
        metric: 'cpu',
        tags: { core: '3', host: 'a', idle: 'true' },
        value: 1,
      },
      { line: 4, time: '2026-01-01T00:00:00.000Z', metric: 'value', tags: {}, value: 1 },
    ])
    expect(rejectedTotal).toBe(0)
  })

  it.each([
    ['2026-01-31T12:30:45Z', '2026-01-31T12:30:45.000Z'],
    ['2026-01-31 12:30:45', '2026-01-31T12:30:45.000Z'],
    ['2026-01-31T12:30:45.123456789Z', '2026-01-31T12:30:45.123Z'],
    ['2026-01-31T12:30:45+02:00', '2026-01-31T10:30:45.000Z'],
    ['2026-01-31T12:30:45-0530', '2026-01-31T18:00:45.000Z'],
    ['2026-01-31T12:30', '2026-01-31T12:30:00.000Z'],
    ['2026-01-31', '2026-01-31T00:00:00.000Z'],
    ['20260131T123045Z', '2026-01-31T12:30:45.000Z'],
    [1769862645, '2026-01-31T12:30:45.000Z'],
    [1769862645.5, '2026-01-31T12:30:45.500Z'],
    [1769862645123, '2026-01-31T12:30:45.123Z'],
    [1769862645123456, '2026-01-31T12:30:45.123Z'],
    ['1769862645123456789', '2026-01-31T12:30:45.123Z'],
    ['1769862645', '2026-01-31T12:30:45.000Z'],
  ])('reads the time %s', async (time, expected) => {
    const { points, rejected } = await readPoints('ndjson', line({ time }))
    expect({ rejected, times: points.map((point) => point.time) }).toEqual({
      rejected: [],
      times: [expected],
    })
  })

  it('keeps microseconds', async () => {
    for await (const { points } of parsePoints(
      'ndjson',
      inPieces(line({ time: '2026-01-31T12:30:45.123456Z' })),
    )) {
      expect(Math.round((points.timesMs[0]! % 1) * 1000)).toBe(456)
    }
  })

  it('takes the other names of time, and the words for what is no finite number', async () => {
    const text = [
      `{"timestamp":"${TIME}","value":"NaN"}`,
      `{"ts":"${TIME}","value":"-Infinity"}`,
      `{"ts":"${TIME}","value":Infinity,"metric":"says NaN, and more"}`,
    ].join('\n')
    const { points } = await readPoints('ndjson', text)
    expect(points.map(({ value }) => value)).toEqual([Number.NaN, -Infinity, Infinity])
    expect(points[2]!.metric).toBe('says NaN, and more')
  })

  it('takes tags in any order as one series, and never mixes up names that only look alike', async () => {
    const text = [
      line({ tags: { a: '1', b: '2' } }),
      line({ tags: { b: '2', a: '1' } }),
      line({ tags: { a: '1\n1,1:b2' } }),
      line({ metric: 'value\n1,1:a1' }),
    ].join('\n')
    for await (const { points } of parsePoints('ndjson', inPieces(text))) {
      expect([...points.series]).toEqual([0, 0, 1, 2])
    }
  })

  it.each([
    ['{"value":1}', 'time: missing'],
    [line({ time: 'yesterday' }), 'time: "yesterday" is not a time'],
    [line({ time: '2026-02-30T00:00:00Z' }), 'time: "2026-02-30T00:00:00Z" is not a time'],
    [line({ time: '1969-12-31T23:59:59Z' }), 'time: "1969-12-31T23:59:59Z" is outside'],
    [line({ time: true }), 'time: true is not a time'],
    [line({ value: null }), 'value: expected a number'],
    [line({ value: '12' }), 'value: expected a number'],
    [line({ value: 'toString' }), 'value: expected a number'],
    [`{"time":"${TIME}","value":1e999}`, 'value: beyond ±1e+148'],
    [line({ value: -1.1e148 }), 'value: beyond ±1e+148'],
    [line({ metric: '' }), 'metric: empty'],
    [line({ metric: 7 }), 'metric: expected text, found 7'],
    [line({ metric: 'm'.repeat(201) }), 'metric: 201 characters'],
    [line({ metric: 'a\0b' }), 'metric: holds a NUL'],
    [line({ metric: '\ud800' }), 'metric: holds half a surrogate pair'],
    [line({ tags: ['a'] }), 'tags: expected an object'],
    [line({ tags: { host: { name: 'a' } } }), 'tags.host: expected text'],
    [line({ tags: { host: 'x'.repeat(501) } }), 'tags.host: 501 characters'],
    [`{"time":"${TIME}","value":1,"tags":{"__proto__":"x"}}`, 'tags.__proto__: this name cannot be used'],
    [
      line({ tags: Object.fromEntries(Array.from({ length: 21 }, (_, at) => [`t${at}`, 'x'])) }),
      'tags: 21 tags',
    ],
    ['[1]', 'point: expected an object'],
    ['{"time":', 'point: not valid JSON (it ends too early)'],
    ['\0', 'point: not valid JSON'],
  ])('refuses %s, naming the field and the line', async (bad, reason) => {
    const reasons = await reasonsOf(`${POINT}\n${bad}\n${POINT}`)
    expect(reasons).toHaveLength(1)
    expect(reasons[0]).toContain(`2 ${reason}`)
    expect(({} as Record<string, unknown>)['x']).toBeUndefined()
  })

  it('refuses the line that is not UTF-8, and no other', async () => {
    const bytes = Buffer.concat([
      Buffer.from(`${POINT}\n`),
      Buffer.from([0xff, 0xfe, 0x0a]),
      Buffer.from(line({ metric: 'é' })),
    ])
    const { points, rejected } = await readPoints('ndjson', bytes)
    expect(points.map(({ metric }) => metric)).toEqual(['value', 'é'])
    expect(rejected).toEqual([{ line: 2, reason: 'point: not valid UTF-8' }])
  })

  it('lists a bounded number of refusals and counts all', async () => {
    const { rejected, rejectedTotal } = await readPoints('ndjson', '{}\n'.repeat(500), {
      maxRejectedListed: 3,
    })
    expect(rejected.map(({ line: at }) => at)).toEqual([1, 2, 3])
    expect(rejectedTotal).toBe(500)
  })

  it('gives what it has when nothing comes for a while, if told to', async () => {
    const said: string[] = []
    let goOn = (): void => undefined
    async function* slowly(): AsyncGenerator<Uint8Array> {
      yield Buffer.from(`${POINT}\n${POINT}\n{"time":`)
      await new Promise<void>((resolve) => (goOn = resolve))
      said.push('went on')
      yield Buffer.from(`"${TIME}","value":2}\n`)
    }
    for await (const { points } of parsePoints('ndjson', slowly(), { flushAfterMs: 5 })) {
      said.push(points.values.join())
      goOn()
    }
    expect(said).toEqual(['1,1', 'went on', '2'])
  })

  it('gives up on a long input that is hardly JSON, and not on one that mostly is', async () => {
    await expect(readPoints('ndjson', 'a,b\n'.repeat(20_000))).rejects.toMatchObject({
      code: 'invalid_input',
      message: expect.stringContaining('10,001 of the first 10,001 are not JSON'),
    })
    const { points, rejectedTotal } = await readPoints('ndjson', `${POINT}\n${POINT}\n{x}\n`.repeat(11_000))
    expect({ points: points.length, rejectedTotal }).toEqual({ points: 22_000, rejectedTotal: 11_000 })
  })

  it('gives chunks of at most 10,000 points whose keys are only theirs', async () => {
    const text = Array.from({ length: 25_000 }, (_, at) =>
      line({ time: 1.7e12 + at, metric: `m${Math.floor(at / 10_000)}` }),
    )
    const chunks: string[] = []
    for await (const { points } of parsePoints('ndjson', inPieces(text.join('\n'), [65_536]))) {
      chunks.push(`${points.timesMs.length} ${points.keys.map(({ metric }) => metric).join()}`)
    }
    expect(chunks).toEqual(['10000 m0', '10000 m1', '5000 m2'])
  })

  it('ends at a line over 1 MB and at too many series, naming the tag that explodes', async () => {
    const long = readPoints('ndjson', `${POINT}\n${line({ note: 'x'.repeat(1_100_000) })}`, {
      pieces: [100_000],
    })
    await expect(long).rejects.toThrow(/line 2 is longer than/)
    const many = Array.from({ length: 21 }, (_, at) => line({ tags: { host: 'a', request: at } })).join('\n')
    const error = await readPoints('ndjson', many, { maxSeries: 20 }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(NomalyError)
    expect(error).toMatchObject({ code: 'too_large', problems: [{ field: 'tags.request' }] })
  })
})

describe('JSON', () => {
  const times = async (text: string): Promise<number> => (await readPoints('json', text)).points.length

  it('reads an array, an object with points, one point, and points one after another', async () => {
    expect(await times(`[${POINT}, ${POINT}]`)).toBe(2)
    expect(
      await times(`{"source":"points","points":[${POINT}],"more":{"points":[${POINT}]},"other":[${POINT}]}`),
    ).toBe(1)
    expect(await times(POINT)).toBe(1)
    expect(await times(`${POINT}\n${POINT}`)).toBe(2)
    expect(await times('[]')).toBe(0)
    expect(await times('')).toBe(0)
  })

  it('counts elements, and refuses each that is no point', async () => {
    const { points, rejected } = await readPoints(
      'json',
      `[${POINT}, 5, {"a":[1,{"b":"]}"}]}, ${POINT} ${POINT}, ${POINT}]`,
    )
    expect(points.map(({ line: at }) => at)).toEqual([1, 5])
    expect(rejected.map(({ line: at }) => at)).toEqual([2, 3, 4])
  })

  it('says that the end is missing', async () => {
    for (const text of [`[${POINT},{"time"`, `[${POINT}`, `{"points":[${POINT}`, '"a', '{']) {
      const { rejected } = await readPoints('json', text)
      expect(rejected.at(-1)?.reason, text).toMatch(/it ends too early/)
    }
  })
})
