import type { NumberFormat } from './column-plan.ts'

export const PLAIN_NUMBERS: NumberFormat = { decimal: '.', group: '', prefix: '', suffix: '' }

const GROUPS = { '': '', ',': ',', '.': '\\.', ' ': '[ \\u00a0\\u202f]', "'": "['’]", _: '_' } as const
const AFFIX =
  /^([^\d.,+\-−(]{0,6})(\(?[+\-−]?)([^\d.,+\-−(]{0,6})([\d.,](?:.*\d)?[.,]?)(?:\s*)(\)?[^\d]{0,8})$/s
const PREFIX = /^(?:\p{Sc}|[A-Z]{3}|[A-Z]{1,3}\p{Sc})?$/u
const LONGEST = 64

const MISSING = new Set([
  '',
  'na',
  'n/a',
  '#n/a',
  'null',
  'none',
  'nil',
  '-',
  '--',
  '?',
  '.',
  'missing',
  'undefined',
])
const WORDS = new Map([
  ['nan', Number.NaN],
  ['inf', Infinity],
  ['+inf', Infinity],
  ['infinity', Infinity],
  ['+infinity', Infinity],
  ['-inf', -Infinity],
  ['-infinity', -Infinity],
])

/** An empty cell, or one of the usual words for "no value". */
export function isMissing(cell: string): boolean {
  return cell === '' || (cell.length <= 9 && MISSING.has(cell.trim().toLowerCase()))
}

type Candidate = Pick<NumberFormat, 'decimal' | 'group'>

/** In order of preference: an earlier one wins when several fit all cells. */
const CANDIDATES: readonly Candidate[] = [
  { decimal: '.', group: '' },
  { decimal: '.', group: ',' },
  { decimal: ',', group: '' },
  { decimal: ',', group: '.' },
  { decimal: '.', group: ' ' },
  { decimal: ',', group: ' ' },
  { decimal: '.', group: "'" },
  { decimal: ',', group: "'" },
  { decimal: '.', group: '_' },
]

const PATTERNS = new Map(CANDIDATES.map((candidate) => [candidate, digitsPattern(candidate)]))

function digitsPattern({ decimal, group }: Candidate): RegExp {
  const mark = GROUPS[group]
  const whole = mark === '' ? '\\d+' : `(?:\\d{1,3}(?:${mark}\\d{3})+|\\d+)`
  const point = decimal === '.' ? '\\.' : ','
  return new RegExp(`^(?:${whole}(?:${point}\\d*)?|${point}\\d+)(?:[eE][+-]?\\d+)?$`)
}

interface Split {
  readonly prefix: string
  readonly negative: boolean
  readonly digits: string
  readonly suffix: string
}

function split(cell: string): Split | undefined {
  const text = cell.trim()
  if (text.length > LONGEST) return undefined
  const match = AFFIX.exec(text)
  if (match === null) return undefined
  const [, before, sign, after, digits, rest] = match as unknown as [
    string,
    string,
    string,
    string,
    string,
    string,
  ]
  const bracketed = sign.startsWith('(')
  if (bracketed !== rest.startsWith(')')) return undefined
  const prefix = (before + after).trim()
  if (!PREFIX.test(prefix)) return undefined
  return {
    prefix,
    negative: bracketed || sign.endsWith('-') || sign.endsWith('−'),
    digits,
    suffix: (bracketed ? rest.slice(1) : rest).trim(),
  }
}

/** How far cells look like numbers, and of which form. */
export interface NumberGuess {
  readonly format: NumberFormat
  /** Cells that hold something, and how many of them are numbers in this form. */
  readonly filled: number
  readonly numeric: number
  /** All could also be read with the other decimal mark: `1,234`. */
  readonly ambiguous: boolean
}

/** Finds the one form that reads most cells as numbers; the text around the digits must be the same in all. */
export function guessNumberFormat(cells: readonly string[], preferDecimalComma = false): NumberGuess {
  let filled = 0
  let words = 0
  const splits: Split[] = []
  for (const cell of cells) {
    if (isMissing(cell)) continue
    filled += 1
    if (WORDS.has(cell.trim().toLowerCase())) {
      words += 1
      continue
    }
    const parts = split(cell)
    if (parts !== undefined) splits.push(parts)
  }
  // Bare numbers may stand among "5 %", so the text around is looked for in the other cells.
  const affix = mostCommon(
    splits.map((parts) => `${parts.prefix}\n${parts.suffix}`).filter((text) => text !== '\n'),
  )
  const same = splits.filter(
    ({ prefix, suffix }) => prefix + suffix === '' || `${prefix}\n${suffix}` === affix,
  )
  const counts = CANDIDATES.map((candidate) => {
    const pattern = PATTERNS.get(candidate)!
    return same.reduce((count, parts) => count + (pattern.test(parts.digits) ? 1 : 0), 0)
  })
  const most = Math.max(...counts)
  const fitting = CANDIDATES.filter((_, at) => counts[at] === most)
  const best =
    (preferDecimalComma ? fitting.find((one) => one.decimal === ',' && one.group === '') : undefined) ??
    fitting[0]!
  const ambiguous =
    most > 0 &&
    best.group !== '.' &&
    fitting.some((one) => one.decimal !== best.decimal) &&
    fitting[0]!.group !== ''
  const [prefix = '', suffix = ''] = (affix ?? '').split('\n')
  return { format: { ...best, prefix, suffix }, filled, numeric: most + words, ambiguous }
}

function mostCommon(texts: readonly string[]): string | undefined {
  const counts = new Map<string, number>()
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1)
  let best: string | undefined
  for (const [text, count] of counts) if (best === undefined || count > counts.get(best)!) best = text
  return best
}

/** A cell as number, `undefined` when it holds no value, or `null` when it is not a number of this form. */
export type CellReader = (cell: string) => number | undefined | null

/** Makes the reader for one column. */
export function numberReader(format: NumberFormat): CellReader {
  const candidate = CANDIDATES.find((one) => one.decimal === format.decimal && one.group === format.group)
  const pattern = candidate === undefined ? digitsPattern(format) : PATTERNS.get(candidate)!
  const groups = format.group === '' ? undefined : new RegExp(GROUPS[format.group], 'g')
  const plain = format.decimal === '.' && groups === undefined && format.prefix === '' && format.suffix === ''
  return (cell) => {
    if (isMissing(cell)) return undefined
    if (plain && isPlainDigits(cell)) return Number(cell)
    const word = WORDS.get(cell.trim().toLowerCase())
    if (word !== undefined) return word
    const parts = split(cell)
    if (parts === undefined || !pattern.test(parts.digits)) return null
    // A bare number among "5 ms" is fine, another unit is not.
    const bare = parts.prefix === '' && parts.suffix === ''
    if (!bare && (parts.prefix !== format.prefix || parts.suffix !== format.suffix)) return null
    const digits = groups === undefined ? parts.digits : parts.digits.replaceAll(groups, '')
    const size = Number(format.decimal === ',' ? digits.replace(',', '.') : digits)
    return parts.negative ? -size : size
  }
}

function isPlainDigits(cell: string): boolean {
  for (let at = 0; at < cell.length; at += 1) {
    const code = cell.charCodeAt(at)
    if ((code < 48 || code > 57) && !(code === 46 && at > 0) && !(code === 45 && at === 0)) return false
  }
  // Two points, or a sign alone, make Number answer NaN: such cells take the slow way to their refusal.
  return !Number.isNaN(Number(cell))
}
