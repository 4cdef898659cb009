import { isMissing } from './number-format.ts'
import { recogniseTime } from './recognise-time.ts'
import { guessNumberFormat } from './number-format.ts'

export type Delimiter = ',' | ';' | '\t' | '|'

/** In order of preference: a comma may be part of numbers and texts, the others rarely are. */
const DELIMITERS: readonly Delimiter[] = ['\t', ';', '|', ',']
const MAX_LINES = 200
const AGREEMENT = 0.9
const LONGEST_NAME = 200

/**
 * The delimiter whose number per line is the same in (nearly) all lines, or, as spreadsheets write it, the one a
 * first line `sep=;` names; a comma when nothing separates.
 */
export function detectDelimiter(sample: string): { delimiter: Delimiter; skipLines: number } {
  const declared = /^sep=([,;\t|])\r?\n/i.exec(sample)
  if (declared !== null) return { delimiter: declared[1] as Delimiter, skipLines: 1 }
  const lines = sample
    .split(/\r\n|\n|\r/)
    .slice(0, MAX_LINES)
    .filter((line) => line.trim() !== '')
    .map((line) => line.replaceAll(/"[^"]*(?:"|$)/g, ''))
  // The last line of a sample may be cut.
  const whole = lines.length > 2 ? lines.slice(0, -1) : lines
  let best: { delimiter: Delimiter; share: number } | undefined
  for (const delimiter of DELIMITERS) {
    const counts = whole.map((line) => line.split(delimiter).length - 1)
    const usual = counts.toSorted((a, b) => a - b)[Math.floor(counts.length / 2)] ?? 0
    if (usual === 0) continue
    const share = counts.filter((count) => count === usual).length / counts.length
    if (best === undefined || (best.share < AGREEMENT && share > best.share)) best = { delimiter, share }
  }
  return { delimiter: best?.delimiter ?? ',', skipLines: 0 }
}

/** Width most rows have. */
export function usualWidth(rows: readonly (readonly string[])[]): number {
  const counts = new Map<number, number>()
  for (const row of rows) counts.set(row.length, (counts.get(row.length) ?? 0) + 1)
  let width = 0
  for (const [size, count] of counts) {
    const most = counts.get(width) ?? 0
    if (count > most || (count === most && size > width)) width = size
  }
  return width
}

/** The first row names the columns: it holds text where the rows below hold numbers or times. */
export function hasHeader(rows: readonly (readonly string[])[]): boolean {
  const [first, ...below] = rows
  if (first === undefined) return false
  const isData = (cells: readonly string[]): boolean => {
    const filled = cells.filter((cell) => !isMissing(cell))
    if (filled.length === 0) return false
    const guess = guessNumberFormat(filled)
    return guess.numeric / guess.filled >= AGREEMENT || recogniseTime(['time'], [filled]) !== undefined
  }
  const dataColumns = first.map((_, at) => at).filter((at) => isData(below.map((row) => row[at] ?? '')))
  if (dataColumns.length > 0) return dataColumns.some((at) => !isMissing(first[at]!) && !isData([first[at]!]))
  return !first.some((cell) => isData([cell]))
}

/** Column names: trimmed, cut at 200 characters, numbered where empty, told apart where they repeat. */
export function headerNames(first: readonly string[]): string[] {
  const used = new Set<string>()
  return first.map((cell, at) => {
    const name = cell.trim().slice(0, LONGEST_NAME).replaceAll('\0', '').toWellFormed() || `column ${at + 1}`
    let unique = name
    for (let copy = 2; used.has(unique); copy += 1) unique = `${name} ${copy}`
    used.add(unique)
    return unique
  })
}
