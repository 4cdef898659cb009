import { styleText } from 'node:util'
import Table from 'cli-table3'
import { Option, type Command } from 'commander'

/** How results are printed: for people, or for programs. */
export type OutputFormat = 'table' | 'json' | 'ndjson'

export interface OutputOptions {
  readonly output: OutputFormat
}

/** A column of a table: its title and what it shows of an item. */
export type Column<T> = readonly [title: string, cell: (item: T) => string]

type Style = Parameters<typeof styleText>[0]

/** Adds `--output`. */
export function withOutput(command: Command): Command {
  return command.addOption(
    new Option('-o, --output <format>', 'how to print: for people, or the JSON of the API for programs')
      .choices(['table', 'json', 'ndjson'])
      .default('table'),
  )
}

/** Colours a text for standard output; plain where that is no terminal, or NO_COLOR is set. */
export function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout })
}

/** Width of the terminal in characters; 100 where there is none. */
export function terminalWidth(): number {
  return Math.max(40, Math.min(process.stdout.columns ?? 100, 200))
}

export function print(line = ''): void {
  process.stdout.write(`${line}\n`)
}

/** Says something to the person at the terminal, apart from the result. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`)
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, undefined, 2))
}

/** Lines of a table without borders; the last column wraps at the width of the terminal. */
export function tableLines<T>(items: readonly T[], columns: readonly Column<T>[]): string {
  const rows = items.map((item) => columns.map(([, cell]) => cell(item)))
  const plainWidth = (text: string): number =>
    Math.max(...text.split('\n').map((line) => stripStyle(line).length))
  const widths = columns.map(([title], at) =>
    Math.max(title.length, ...rows.map((row) => plainWidth(row[at]!))),
  )
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0)
  // A word longer than the column would be cut: better a line that is too long, for ids above all.
  const words = rows.flatMap((row) =>
    row
      .at(-1)!
      .split(/\s/)
      .map((word) => stripStyle(word).length),
  )
  const last = Math.max(20, terminalWidth() - before - 1, ...words)
  const table = new Table({
    head: columns.map(([title]) => paint('dim', title)),
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 2 },
    chars: NO_BORDERS,
    wordWrap: true,
    colWidths: [...widths.slice(0, -1).map((width) => width + 2), Math.min(widths.at(-1)! + 2, last + 2)],
  })
  table.push(...rows)
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
}

/** Prints items: as a table (or a sentence when there are none), as one JSON array, or as a line of JSON each. */
export function printItems<T>(
  format: OutputFormat,
  items: readonly T[],
  columns: readonly Column<T>[],
  whenEmpty: string,
): void {
  if (format === 'json') printJson(items)
  else if (format === 'ndjson') for (const item of items) print(JSON.stringify(item))
  else print(items.length === 0 ? whenEmpty : tableLines(items, columns))
}

/** Prints one item: its fields one below the other, or as JSON. */
export function printItem<T>(format: OutputFormat, item: T, fields: readonly Column<T>[]): void {
  if (format === 'json') printJson(item)
  else if (format === 'ndjson') print(JSON.stringify(item))
  else {
    const width = Math.max(...fields.map(([title]) => title.length))
    for (const [title, cell] of fields) print(`${paint('dim', title.padEnd(width))}  ${cell(item)}`)
  }
}

function stripStyle(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/\u001b\[[0-9;]*m/g, '')
}

const NO_BORDERS = Object.fromEntries(
  ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
    .concat(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'])
    .map((part) => [part, '']),
)
