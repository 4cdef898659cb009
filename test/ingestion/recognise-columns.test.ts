import { describe, expect, it } from 'vitest'
import type { ColumnPlan } from '../../src/ingestion/column-plan.ts'
import { recogniseColumns } from '../../src/ingestion/recognise-columns.ts'

function recognise(table: string, preferDecimalComma = false): ColumnPlan {
  const [header, ...rows] = table.split('\n').map((line) => line.split('|').map((cell) => cell.trim()))
  return recogniseColumns(header!, rows, { preferDecimalComma })
}

const names = (columns: readonly { name: string }[]): string => columns.map(({ name }) => name).join()

/** Rows of a table whose first column is one of the texts each. */
const column = (name: string, cells: readonly string[]): string =>
  [`${name} | v`, ...cells.map((cell, at) => `${cell} | ${at % 7}`)].join('\n')

describe('the time column', () => {
  it.each([
    ['year-month-day', ['2026-01-01T00:00:00Z', '2026-01-01T00:05:00Z']],
    ['year-month-day', ['2026-01-01 00:00', '2026-01-01 00:05']],
    ['year-month-day', ['2026-01-01 00:00:00.123456', '2026-01-01 00:05:00.5']],
    ['year-month-day', ['2026/01/01', '2026/01/02']],
    ['day-month-year', ['1.2.2026', '2.2.2026']],
    ['day-month-year', ['13/01/2026', '02/02/2026']],
    ['month-day-year', ['01/13/2026', '02/02/2026']],
    ['month-day-year', ['01/13/26 1:05 PM', '02/02/26 11:59 AM']],
    ['month-name', ['15 Jan 2026 10:00', '16 February 2026 10:00']],
    ['month-name', ['Jan 15, 2026', 'Feb 1, 2026']],
    ['month-name', ['Mon, 15 Jan 2026 10:00:00 GMT', 'Tue, 16 Jan 2026 10:00:00 GMT']],
    ['month-name', ['15/Jan/2026:10:00:00 +0000', '15/Jan/2026:10:00:01 +0000']],
    ['epoch-s', ['1700000000', '1700000060', '1700000120']],
    ['epoch-ms', ['1700000000000', '1700000060000', '1700000120000']],
    ['epoch-us', ['1700000000000000', '1700000060000000', '1700000120000000']],
    ['epoch-ns', ['1700000000000000000', '1700000060000000000', '1700000120000000000']],
  ])('is read as %s: %j, whatever it is called', (format, cells) => {
    const { time } = recognise(column('x', cells))
    expect(time).toMatchObject({ index: 0, format, ambiguous: false })
  })

  it('decides the order of day and month over all rows, and says when it cannot', () => {
    expect(recognise(column('date', ['01/02/2026', '02/02/2026', '13/02/2026'])).time?.format).toBe(
      'day-month-year',
    )
    expect(recognise(column('date', ['01/02/2026', '01/03/2026', '02/01/2026'])).time).toMatchObject({
      format: 'month-day-year',
      ambiguous: false,
      reason: expect.stringContaining('ascending'),
    })
    expect(recognise(column('date', ['01/02/2026', '02/03/2026'])).time).toMatchObject({
      ambiguous: true,
      reason: expect.stringContaining('ambiguous'),
    })
  })

  it('may be two: date and time of day', () => {
    const plan = recognise('date | time | v\n2026-01-01 | 10:00 | 1\n2026-01-01 | 10:05:30 | 2')
    expect(plan.time).toMatchObject({ index: 0, clockIndex: 1, reason: expect.stringContaining('"time"') })
    expect(names(plan.values)).toBe('v')
  })

  it('is the one with the better name; the other is set aside', () => {
    const plan = recognise(
      'created_at | timestamp | v\n2026-01-01 | 2026-02-01 | 1\n2026-01-02 | 2026-02-02 | 2\n2026-01-03 | 2026-02-03 | 2',
    )
    expect(plan.time?.name).toBe('created_at')
    expect(plan.ignored).toEqual([{ index: 1, name: 'timestamp', reason: 'Another time.' }])
  })

  it('may be missing', () => {
    expect(recognise('a | b\n1 | 2\n7 | 4\n5 | 9').time).toBeUndefined()
    expect(recognise('code | b\n20260101 | 2\n20260102 | 4\n20260103 | 9').time).toBeUndefined()
  })
})

describe('values', () => {
  it.each([
    [['1', '-2.5', '+3e-5'], { decimal: '.', group: '' }],
    [['1,234.5', '1,234,567', '12'], { decimal: '.', group: ',' }],
    [['1.234,5', '1.234.567,00'], { decimal: ',', group: '.' }],
    [['1,5', '22,75'], { decimal: ',', group: '' }],
    [['1 234,5', '1\u00a0234\u202f567'], { decimal: ',', group: ' ' }],
    [["1'234.5", '12'], { decimal: '.', group: "'" }],
    [['12%', '3.5 %', '7'], { suffix: '%' }],
    [['$1.50', '$ -2', '-$3'], { prefix: '$' }],
    [['5 ms', '7ms'], { suffix: 'ms' }],
    [['(1.5)', '2'], { decimal: '.' }],
    [['1', '', 'n/a', '-', 'NULL', '3'], { decimal: '.' }],
  ])('are numbers: %j', (cells, number) => {
    const plan = recognise(
      ['time | v', ...cells.map((cell, at) => `2026-01-0${at + 1} | ${cell}`)].join('\n'),
    )
    expect(names(plan.values)).toBe('v')
    expect(plan.values[0]!.number).toMatchObject(number)
  })

  it('takes 1,234 for thousands, or for a decimal where cells are separated by semicolons', () => {
    const table = 'time | v\n2026-01-01 | 1,234\n2026-01-02 | 5,678'
    expect(recognise(table).values[0]).toMatchObject({
      number: { group: ',' },
      reason: expect.stringContaining('decimal'),
    })
    expect(recognise(table, true).values[0]!.number).toMatchObject({ decimal: ',', group: '' })
  })

  it('are not texts with digits, addresses or mixed units', () => {
    const plan = recognise(
      'time | a | b | c | v\n2026-01-01 | A1 | 10.0.0.1 | 1 GB | 1\n2026-01-02 | A2 | 10.0.0.2 | 3 MB | 2',
    )
    expect(names(plan.values)).toBe('v')
  })

  it('are each a metric, named after the header', () => {
    const plan = recognise('time | cpu | mem\n2026-01-01 | 1 | 2\n2026-01-02 | 1 | 2')
    expect(plan.layout).toBe('wide')
    expect(plan.values.map(({ metric }) => metric)).toEqual(['cpu', 'mem'])
  })

  it('may be long: a column names the metric', () => {
    const plan = recognise(
      'time | metric | value\n2026-01-01 | cpu | 2\n2026-01-01 | mem | 3\n2026-01-02 | cpu | 1',
    )
    expect(plan).toMatchObject({ layout: 'long', metric: { name: 'metric' }, tags: [] })
  })

  it('are not row numbers and ids', () => {
    const plan = recognise(
      'column 1 | order_id | time | v\n0 | 77 | 2026-01-01 | 1\n1 | 12 | 2026-01-02 | 2\n2 | 55 | 2026-01-03 | 2',
    )
    expect(names(plan.values)).toBe('v')
    expect(names(plan.ignored)).toBe('column 1,order_id')
  })
})

describe('tags', () => {
  it('are few texts that tell rows of one time apart', () => {
    const rows = ['2026-01-01', '2026-01-02', '2026-01-03'].flatMap((day) =>
      ['a', 'b'].map((host) => `${day} | ${host} | 1`),
    )
    expect(names(recognise(['time | h | v', ...rows].join('\n')).tags)).toBe('h')
  })

  it('are not texts that describe rows of a single series', () => {
    const rows = Array.from(
      { length: 20 },
      (_, at) => `2026-01-${String(at + 1).padStart(2, '0')} | ${at % 3 ? 'ok' : 'bad'} | ${at % 2} | 1`,
    )
    const plan = recognise(['time | label | sensor_id | v', ...rows].join('\n'))
    expect(names(plan.tags)).toBe('sensor_id')
    expect(plan.ignored).toEqual([
      { index: 1, name: 'label', reason: expect.stringContaining('one row per time') },
    ])
  })

  it('are not free text', () => {
    const rows = Array.from({ length: 30 }, (_, at) => `2026-01-01 | event ${at} happened | ${at}`)
    expect(recognise(['time | note | v', ...rows].join('\n')).ignored).toEqual([
      { index: 1, name: 'note', reason: 'Text that differs from row to row (30 in 30 rows).' },
    ])
  })
})

it('gives each column exactly one part, and a sentence', () => {
  const plan = recognise(
    'time | host | cpu | note | id\n2026-01-01 | a | 1 | x1 | 7\n2026-01-01 | b | 2 | x2 | 8\n2026-01-02 | a | 3 | x3 | 3',
  )
  const parts = [plan.time!, ...plan.values, ...plan.tags, ...plan.ignored]
  expect(parts.map(({ index }) => index).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4])
  for (const { reason } of parts) expect(reason).toMatch(/^[A-Z].*\.$/)
  expect(JSON.parse(JSON.stringify(plan))).toEqual({ ...plan, metric: undefined })
})
