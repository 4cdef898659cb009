import type { BandColumns, Finding, Severity } from '../detection/finding.ts'
import { formatNumber } from './format-cells.ts'
import { paint } from './output.ts'

const ROWS = 6
const DOTS_DOWN = 4
const BRAILLE = 0x2800
/** Bits of the dots of a braille cell, by column and row (Unicode 16, block U+2800). */
const DOT_BITS = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
] as const

/** Colour of each severity. */
export const SEVERITY_STYLES: Readonly<Record<Severity, Parameters<typeof paint>[0]>> = {
  low: 'magenta',
  medium: 'yellow',
  high: 'red',
  critical: ['bold', 'red'],
}
const RANK: readonly Severity[] = ['low', 'medium', 'high', 'critical']

export interface PlotInput {
  readonly timesMs: Float64Array
  readonly values: Float64Array
  readonly findings: readonly Finding[]
  readonly band: BandColumns | undefined
  /** Characters there are, labels included. */
  readonly width: number
  readonly formatTime: (ms: number) => string
}

/**
 * A series as lines of text: braille dots from the least to the greatest value of each column, the band that was
 * expected as shade, findings in colour with a mark below. Empty when there is nothing finite to draw.
 */
export function plotSeries(input: PlotInput): string[] {
  const { timesMs, values, findings, band } = input
  const [low, high] = extent(values)
  if (timesMs.length < 2 || low > high) return []
  const labels = [formatNumber(high), formatNumber(low)]
  const gutter = Math.max(labels[0]!.length, labels[1]!.length) + 1
  const columns = Math.max(20, input.width - gutter - 1)
  const from = timesMs[0]!
  const span = timesMs.at(-1)! - from
  const scale = new Scale(low, high, ROWS * DOTS_DOWN)
  const dotColumn = (ms: number): number =>
    Math.min(columns * 2 - 1, Math.max(0, Math.floor(((ms - from) / span) * columns * 2)))
  const cells = drawDots(timesMs, values, columns, scale, dotColumn)
  const shade = band === undefined ? [] : bandRows(band, columns, scale, dotColumn)
  const marks = severest(findings, columns, (ms) => dotColumn(ms) >> 1)
  const lines: string[] = []
  for (let row = 0; row < ROWS; row += 1) {
    const label = row === 0 ? labels[0]! : row === ROWS - 1 ? labels[1]! : ''
    let line = ''
    for (let column = 0; column < columns; column += 1) {
      const bits = cells[row * columns + column]!
      const mark = marks[column]
      const [top, bottom] = shade[column] ?? [1, 0]
      if (bits > 0)
        line += paint(
          mark === undefined ? 'cyan' : SEVERITY_STYLES[mark],
          String.fromCharCode(BRAILLE + bits),
        )
      else line += row >= top && row <= bottom ? paint('dim', '░') : ' '
    }
    lines.push(`${paint('dim', label.padStart(gutter - 1))} ${line.trimEnd()}`)
  }
  if (marks.some((mark) => mark !== undefined)) {
    const line = Array.from({ length: columns }, (_, at) =>
      marks[at] === undefined ? ' ' : paint(SEVERITY_STYLES[marks[at]], '▲'),
    )
    lines.push(`${' '.repeat(gutter)}${line.join('').trimEnd()}`)
  }
  const [first, last] = [input.formatTime(from), input.formatTime(timesMs.at(-1)!)]
  lines.push(paint('dim', `${' '.repeat(gutter)}${first}${last.padStart(columns - first.length)}`))
  return lines
}

class Scale {
  readonly #low: number
  readonly #perUnit: number
  readonly #dots: number

  constructor(low: number, high: number, dots: number) {
    this.#low = low
    this.#dots = dots
    this.#perUnit = high > low ? (dots - 1) / (high - low) : 0
  }

  /** Dots from the top; a flat series runs through the middle. */
  dot(value: number): number {
    if (this.#perUnit === 0) return this.#dots >> 1
    const fromBottom = Math.round((value - this.#low) * this.#perUnit)
    return Math.min(this.#dots - 1, Math.max(0, this.#dots - 1 - fromBottom))
  }
}

function extent(values: Float64Array): [number, number] {
  let low = Infinity
  let high = -Infinity
  for (const value of values) {
    if (!Number.isFinite(value)) continue
    if (value < low) low = value
    if (value > high) high = value
  }
  return [low, high]
}

function drawDots(
  timesMs: Float64Array,
  values: Float64Array,
  columns: number,
  scale: Scale,
  dotColumn: (ms: number) => number,
): Uint8Array {
  const cells = new Uint8Array(columns * ROWS)
  const tops = new Int16Array(columns * 2).fill(-1)
  const bottoms = new Int16Array(columns * 2).fill(-1)
  for (let at = 0; at < timesMs.length; at += 1) {
    const value = values[at]!
    if (!Number.isFinite(value)) continue
    const x = dotColumn(timesMs[at]!)
    const y = scale.dot(value)
    if (tops[x] === -1 || y < tops[x]!) tops[x] = y
    if (y > bottoms[x]!) bottoms[x] = y
  }
  for (let x = 0; x < columns * 2; x += 1) {
    if (tops[x] === -1) continue
    for (let y = tops[x]!; y <= bottoms[x]!; y += 1) {
      cells[Math.floor(y / DOTS_DOWN) * columns + (x >> 1)]! |= DOT_BITS[x & 1]![y % DOTS_DOWN]!
    }
  }
  return cells
}

/** First and last row of the expected band, by column, from its mean edges. */
function bandRows(
  band: BandColumns,
  columns: number,
  scale: Scale,
  dotColumn: (ms: number) => number,
): (readonly [number, number] | undefined)[] {
  const lower = new Float64Array(columns)
  const upper = new Float64Array(columns)
  const counts = new Uint32Array(columns)
  for (let at = 0; at < band.timesMs.length; at += 1) {
    if (Number.isNaN(band.lower[at]!) || Number.isNaN(band.upper[at]!)) continue
    const column = dotColumn(band.timesMs[at]!) >> 1
    lower[column]! += band.lower[at]!
    upper[column]! += band.upper[at]!
    counts[column]! += 1
  }
  return Array.from(counts, (count, column) => {
    if (count === 0) return undefined
    const row = (sum: number): number => Math.floor(scale.dot(sum / count) / DOTS_DOWN)
    return [row(upper[column]!), row(lower[column]!)] as const
  })
}

function severest(
  findings: readonly Finding[],
  columns: number,
  column: (ms: number) => number,
): (Severity | undefined)[] {
  const marks: (Severity | undefined)[] = Array.from({ length: columns })
  for (const { startMs, endMs, severity } of findings) {
    for (let at = column(startMs); at <= column(endMs); at += 1) {
      const before = marks[at]
      if (before === undefined || RANK.indexOf(severity) > RANK.indexOf(before)) marks[at] = severity
    }
  }
  return marks
}
