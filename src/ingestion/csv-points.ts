import { parse, type Options, type Parser } from 'csv-parse'
import { NomalyError } from '../errors.ts'
import type { ColumnPlan } from './column-plan.ts'
import { detectDelimiter, hasHeader, headerNames, usualWidth } from './csv-dialect.ts'
import { CsvRows } from './csv-rows.ts'
import { isPointTable, PointTable } from './point-table.ts'
import { lineTooLong } from './line-blocks.ts'
import { INPUT_LIMITS, type ParsedChunk, type ParseOptions } from './parsed-points.ts'
import { PointCollector } from './point-collector.ts'
import { recogniseColumns } from './recognise-columns.ts'
import { shorten } from './series-table.ts'
import { legacyTextAsUtf8 } from './text-encoding.ts'

/** Rows the columns are recognised from. */
const SAMPLE_ROWS = 1000
/** Less of them where rows are long. */
const SAMPLE_CHARACTERS = 1_048_576
const SAMPLE_BYTES = 65_536

interface Row {
  readonly cells: string[]
  readonly line: number
}

/** Points of a CSV table, in chunks that carry how the columns were read; see {@link parsePoints}. */
export async function* parseCsv(
  input: AsyncIterable<Uint8Array>,
  options: ParseOptions,
): AsyncGenerator<ParsedChunk> {
  const collector = new PointCollector(options)
  let sample: Row[] | undefined = []
  let sampled = 0
  let rows: CsvRows | PointTable | undefined
  let delimiter = ','
  const begin = (): CsvRows | PointTable => {
    const [top, ...below] = sample!
    const exported =
      Object.keys(options.columns ?? {}).length === 0 && delimiter === ','
        ? PointTable.of(top!.cells, below[0]?.cells, collector)
        : undefined
    if (exported !== undefined) {
      sample = undefined
      pending.push(...below)
      return exported
    }
    const { header, body, outside } = splitHeader(sample!)
    for (const row of outside) collector.reject(row.line, 'row: stands before the table')
    const plan = recogniseColumns(
      header,
      body.map((row) => row.cells),
      {
        preferDecimalComma: delimiter === ';',
        ...(options.columns === undefined ? {} : { columns: options.columns }),
      },
    )
    checkPlan(plan, body.length, options.rowStepMs)
    const made = new CsvRows(plan, collector, options.rowStepMs)
    sample = undefined
    pending.push(...body)
    return made
  }
  const pending: Row[] = []
  for await (const row of csvRows(input, collector, (found) => (delimiter = found))) {
    if (sample !== undefined) {
      sample.push(row)
      sampled += row.cells.reduce((sum, cell) => sum + cell.length + 1, 0)
      if (sample.length < SAMPLE_ROWS && sampled < SAMPLE_CHARACTERS) continue
      rows = begin()
    } else pending.push(row)
    for (const { cells, line } of pending) {
      for (const _ of rows!.add(cells, line)) yield { ...collector.take(), columns: rows!.plan }
    }
    pending.length = 0
  }
  if (sample !== undefined && sample.length > 0) {
    rows = begin()
    for (const { cells, line } of pending) {
      for (const _ of rows.add(cells, line)) yield { ...collector.take(), columns: rows.plan }
    }
  }
  if (collector.pending || rows !== undefined) {
    yield { ...collector.take(), ...(rows === undefined ? {} : { columns: rows.plan }) }
  }
}

function splitHeader(rows: readonly Row[]): { header: string[]; body: Row[]; outside: Row[] } {
  const width = usualWidth(rows.map((row) => row.cells))
  let start = 0
  while (start < rows.length - 1 && rows[start]!.cells.length !== width && start < 20) start += 1
  const table = rows.slice(start)
  const shaped = table.filter((row) => row.cells.length === width).map((row) => row.cells)
  const named = table[0]?.cells.length === width && hasHeader(shaped)
  const names = named ? table[0]!.cells : Array.from({ length: width }, () => '')
  return { header: headerNames(names), body: named ? table.slice(1) : table, outside: rows.slice(0, start) }
}

function checkPlan(plan: ColumnPlan, rows: number, rowStepMs: number | undefined): void {
  if (rows === 0) return
  const found = [...plan.values, ...plan.tags, ...plan.ignored]
    .toSorted((a, b) => a.index - b.index)
    .map((column) => `"${shorten(column.name)}": ${column.reason}`)
    .slice(0, 10)
    .join(' ')
  if (plan.time === undefined && rowStepMs === undefined) {
    throw new NomalyError('invalid_input', 'No column holds times.', {
      hint:
        'Looked for ISO 8601, year-month-day, day.month.year, month/day/year, names of months, and numbers since 1970 ' +
        `in s, ms, µs or ns. Found ${found}`,
      problems: [{ field: 'time column', reason: 'no column of times was found' }],
    })
  }
  if (plan.values.length > 0) return
  throw new NomalyError('invalid_input', 'No column holds numbers to watch.', {
    hint: `Found ${found === '' ? 'only times' : found}`,
    problems: [{ field: 'value column', reason: 'no column of numbers was found' }],
  })
}

/** Records with the line each starts on; what csv-parse refuses is refused with that line. */
async function* csvRows(
  input: AsyncIterable<Uint8Array>,
  collector: PointCollector,
  onDelimiter: (delimiter: string) => void,
): AsyncGenerator<Row> {
  let parser: Parser | undefined
  let failure: unknown
  let nextLine = 1
  let head = Buffer.alloc(0)
  const open = (): Parser => {
    const start = head.subarray(0, SAMPLE_BYTES).toString('utf8')
    const isExported = isPointTable(start)
    const { delimiter, skipLines } = isExported
      ? ({ delimiter: ',', skipLines: 0 } as const)
      : detectDelimiter(start)
    onDelimiter(delimiter)
    // Tags may hold any characters.
    if (!isExported && looksBinary(head.subarray(0, SAMPLE_BYTES))) throw notText()
    const options: Options = {
      delimiter,
      from_line: 1 + skipLines,
      info: true,
      max_record_size: INPUT_LIMITS.maxLineBytes,
      record_delimiter: ['\r\n', '\n', '\r'],
      relax_column_count: true,
      relax_quotes: true,
      skip_empty_lines: true,
    }
    return parse(options).on('error', (error) => (failure = error))
  }
  function* records(): Generator<Row> {
    for (let read = parser!.read(); read !== null; read = parser!.read()) {
      const { record, info } = read as { record: string[]; info: { lines: number } }
      if (record.length > INPUT_LIMITS.maxColumns) throw tooManyColumns(record.length)
      // `lines` counts the line the record ends on; a quoted line end inside makes it start earlier.
      yield { cells: record, line: Math.max(nextLine, info.lines - inner(record)) }
      nextLine = info.lines + 1
    }
  }
  try {
    for await (const block of legacyTextAsUtf8(input)) {
      if (parser === undefined) {
        head = Buffer.concat([head, block])
        if (head.length < SAMPLE_BYTES) continue
        parser = open()
        parser.write(head)
      } else parser.write(block)
      yield* records()
      if (failure !== undefined) break
    }
    parser ??= open()
    if (head.length < SAMPLE_BYTES) parser.write(head)
    yield* records()
    if (failure === undefined) {
      const ended = new Promise<void>((resolve) => parser!.once('end', resolve).once('close', resolve))
      parser.end()
      yield* records()
      await ended
    }
  } finally {
    parser?.destroy()
  }
  if (failure !== undefined) refuse(failure, collector, nextLine)
}

/** More control characters than a damaged text would have. */
function looksBinary(bytes: Uint8Array): boolean {
  const controls = bytes.reduce((count, byte) => count + (byte < 9 || (byte > 13 && byte < 27) ? 1 : 0), 0)
  return controls > 2 && controls > bytes.length / 100
}

function tooManyColumns(columns: number): NomalyError {
  const reason = `${columns.toLocaleString('en')} columns, at most ${INPUT_LIMITS.maxColumns.toLocaleString('en')} are read`
  return new NomalyError('too_large', `The table is too wide: ${reason}.`, {
    hint: 'Turn it: one row for each time, or three columns for time, metric and value.',
    problems: [{ field: 'row', reason }],
  })
}

function notText(): NomalyError {
  return new NomalyError('invalid_input', 'The data is not text.', {
    hint: 'Send CSV, NDJSON or JSON; a spreadsheet can be saved as CSV.',
    problems: [{ field: 'body', reason: 'not text' }],
  })
}

function inner(record: readonly string[]): number {
  let ends = 0
  for (const cell of record) if (cell.includes('\n')) ends += cell.split('\n').length - 1
  return ends
}

function refuse(failure: unknown, collector: PointCollector, line: number): void {
  const code = (failure as { code?: string }).code ?? ''
  if (code === 'CSV_MAX_RECORD_SIZE') throw lineTooLong(line, 'line')
  const reason =
    code === 'CSV_QUOTE_NOT_CLOSED' ? 'a quote is opened and never closed' : 'not readable as CSV'
  collector.reject(line, `row: ${reason}; nothing after it was read`)
}
