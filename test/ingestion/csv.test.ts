import { describe, expect, it } from 'vitest'
import { readPoints, type ReadPoint } from './read-points.ts'

const brief = ({ line, time, metric, tags, value }: ReadPoint): string =>
  [line, time.replace('.000Z', ''), metric, ...Object.entries(tags).map((tag) => tag.join('=')), value].join(
    ' ',
  )

async function read(text: string | Uint8Array): Promise<string[]> {
  return (await readPoints('csv', text)).points.map(brief)
}

describe('CSV', () => {
  it('reads a table with a header and gaps', async () => {
    const { points, rejectedTotal } = await readPoints(
      'csv',
      'time,cpu,mem\n2026-01-01,1,2\n2026-01-02,,NaN\n',
    )
    expect(points.map(brief)).toEqual([
      '2 2026-01-01T00:00:00 cpu 1',
      '2 2026-01-01T00:00:00 mem 2',
      '3 2026-01-02T00:00:00 mem NaN',
    ])
    expect(rejectedTotal).toBe(0)
  })

  it('refuses single cells and rows with line and column', async () => {
    const text =
      'time,value\n2026-01-01,1\nnever,2\n2026-01-03,many\n2026-01-04,4,4\n2026-01-05,1e200\n,6\n2026-01-07,7\n2026-01'
    const { points, rejected } = await readPoints('csv', text)
    expect(points.map(({ line }) => line)).toEqual([2, 8])
    expect(rejected).toEqual([
      { line: 3, reason: 'time: "never" is not a time like the others (year-month-day)' },
      { line: 4, reason: 'value: "many" is not a number like the others' },
      { line: 5, reason: 'row: 3 columns, the table has 2' },
      { line: 6, reason: 'value: beyond ±1e+148, such values would overflow sums' },
      { line: 7, reason: 'time: the time is missing' },
      { line: 9, reason: 'row: 1 columns, the table has 2' },
    ])
  })

  it.each([',', ';', '\t', '|'])('finds the delimiter %j', async (delimiter) => {
    const rows = ['time,host,value', '2026-01-01,a,1', '2026-01-01,b,2', '2026-01-02,a,3', '2026-01-02,b,4']
    expect(await read(rows.join('\r\n').replaceAll(',', delimiter))).toEqual([
      '2 2026-01-01T00:00:00 value host=a 1',
      '3 2026-01-01T00:00:00 value host=b 2',
      '4 2026-01-02T00:00:00 value host=a 3',
      '5 2026-01-02T00:00:00 value host=b 4',
    ])
  })

  it('reads what spreadsheets write: sep=, decimal commas, thousands, currency', async () => {
    expect(await read('sep=;\nDatum;Umsatz\n01.02.2026;"1.234,50 €"\n02.02.2026;-2,00 €\n')).toEqual([
      '3 2026-02-01T00:00:00 Umsatz 1234.5',
      '4 2026-02-02T00:00:00 Umsatz -2',
    ])
  })

  it('reads UTF-16 of either order, and Latin-1', async () => {
    const table = 'zeit,größe\n2026-01-01,1\n2026-01-02,2\n'
    const little = Buffer.from(`\ufeff${table}`, 'utf16le')
    const expected = ['2 2026-01-01T00:00:00 größe 1', '3 2026-01-02T00:00:00 größe 2']
    expect(await read(little)).toEqual(expected)
    expect(await read(Buffer.from(little).swap16())).toEqual(expected)
    expect(await read(Buffer.from(table, 'latin1'))).toEqual(expected)
    expect(await read(`\ufeff${table}`)).toEqual(expected)
  })

  it('reads quoted cells with delimiters and line ends, and counts lines of the file', async () => {
    const text = 'time,"a, ""b""\nc",note\n2026-01-01,1,"x\ny"\n2026-01-02,2,z\n'
    expect(await read(text)).toEqual([
      '3 2026-01-01T00:00:00 a, "b"\nc 1',
      '5 2026-01-02T00:00:00 a, "b"\nc 2',
    ])
  })

  it('says where a quote is opened and never closed', async () => {
    const { points, rejected } = await readPoints(
      'csv',
      'time,value\n2026-01-01,1\n2026-01-02,"2\n2026-01-03,3\n',
    )
    expect(points).toHaveLength(1)
    expect(rejected).toEqual([
      { line: 3, reason: 'row: a quote is opened and never closed; nothing after it was read' },
    ])
  })

  it('passes over what stands before the table', async () => {
    const { points, rejected } = await readPoints(
      'csv',
      'Report 2026\n\ntime,value\n2026-01-01,1\n2026-01-02,2\n',
    )
    expect(points.map(({ line }) => line)).toEqual([4, 5])
    expect(rejected).toEqual([{ line: 1, reason: 'row: stands before the table' }])
  })

  it('reads a table of one row, and one without a header', async () => {
    expect(await read('time,value\n2026-01-01,1')).toEqual(['2 2026-01-01T00:00:00 value 1'])
    expect(await read('2026-01-01,1\n2026-01-02,2')).toEqual([
      '1 2026-01-01T00:00:00 value 1',
      '2 2026-01-02T00:00:00 value 2',
    ])
  })

  it('says what it looked for when there is no time, and takes row numbers when told to', async () => {
    const table = 'a,b\n3,x\n9,y\n4,x\n'
    await expect(readPoints('csv', table)).rejects.toMatchObject({
      code: 'invalid_input',
      message: 'No column holds times.',
      hint: expect.stringContaining('"a": Numbers.'),
    })
    const { points } = await readPoints('csv', table, { rowStepMs: 60_000 })
    expect(points.map(({ time, value }) => `${time} ${value}`)).toEqual([
      '1970-01-01T00:00:00.000Z 3',
      '1970-01-01T00:01:00.000Z 9',
      '1970-01-01T00:02:00.000Z 4',
    ])
  })

  it('refuses what is no table of numbers, or no text at all', async () => {
    await expect(readPoints('csv', 'time,note\n2026-01-01,hello\n2026-01-02,there\n')).rejects.toThrow(
      /No column holds numbers/,
    )
    await expect(readPoints('csv', Buffer.alloc(5000, 1))).rejects.toThrow(/not text/)
    await expect(
      readPoints('csv', `time,value\n2026-01-01,"${'x'.repeat(1_100_000)}"`),
    ).rejects.toMatchObject({ code: 'too_large' })
  })

  it('takes columns that are named, by header or number', async () => {
    const table = 'a,b,c,d\n2026-01-01,2025-01-01,1,2\n2026-01-02,2025-01-02,1,3\n'
    const { points } = await readPoints('csv', table, { columns: { time: 'B', values: ['4'], tags: ['c'] } })
    expect(points.map(brief)).toEqual(['2 2025-01-01T00:00:00 d c=1 2', '3 2025-01-02T00:00:00 d c=1 3'])
    await expect(readPoints('csv', table, { columns: { time: 'when' } })).rejects.toMatchObject({
      message: 'time column: there is no column "when"',
      hint: 'The columns are: a, b, c, d.',
    })
    await expect(readPoints('csv', table, { columns: { values: ['a'] } })).rejects.toThrow(
      /"a" holds no numbers/,
    )
  })

  it('keeps apart headers that repeat', async () => {
    expect(await read('time,v,v\n2026-01-01,1,2\n2026-01-02,3,4\n')).toContain('2 2026-01-01T00:00:00 v 2 2')
  })
})
