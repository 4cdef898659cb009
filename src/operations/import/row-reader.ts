import { createHash } from 'node:crypto'
import { isStorableText } from '../../metrics/series-key.ts'
import { RowProblem } from './converted.ts'
import { instantText, type LocalTime } from './local-time.ts'
import { isStorableJson, jsonObject, type ParsedJson, parsePythonJson } from './python-json.ts'
import { soundId } from './source-id.ts'
import type { SourceValue } from './source.ts'

/** Columns that hold what opens something, or a model that is code: never kept beside a row, nor in quarantine. */
const SECRET = /password|secret|token|_hash$|^key$|api_key|private/i
/** The same inside of JSON, where names are also those of settings, such as `max_tokens`. */
const SECRET_FIELD = /password|passwd|secret|api_?key|private_?key|credential|(^|_)token$|_hash$/i
const MAX_JSON_CHARACTERS = 50_000_000
const MAX_RECORD_CHARACTERS = 200_000

/** Reads the columns of one row, remembers which were used and what was filled in. */
export class RowReader {
  readonly fills: string[] = []
  readonly #values: Readonly<Record<string, SourceValue>>
  readonly #zone: LocalTime
  readonly #used = new Set<string>()

  constructor(values: Readonly<Record<string, SourceValue>>, zone: LocalTime) {
    this.#values = values
    this.#zone = zone
  }

  /** The first of these columns that has something. */
  raw(...columns: readonly string[]): SourceValue {
    for (const column of columns) this.#used.add(column)
    for (const column of columns) {
      const value = this.#values[column]
      if (value !== undefined && value !== null) return value
    }
    return null
  }

  fill(sentence: string): void {
    this.fills.push(sentence)
  }

  /** @throws RowProblem where there is no telling what the id was. */
  id(column: string): string {
    const found = soundId(this.raw(column))
    if (typeof found === 'string') throw new RowProblem('unrecoverable_id', `${column}: ${found}`)
    if (found.origin === 'recovered') this.fill(`${column}: digits put back that SQLite had made a number of`)
    if (found.origin === 'derived') this.fill(`${column}: a UUID made from a text that is none`)
    return found.id
  }

  /** As {@link id}; null where there is none. */
  optionalId(column: string): string | null {
    return this.raw(column) === null ? null : this.id(column)
  }

  text(maxLength: number, ...columns: readonly string[]): string | null {
    const value = this.raw(...columns)
    if (value === null) return null
    const text = value instanceof Uint8Array ? undefined : String(value)
    if (text === undefined)
      throw new RowProblem('unreadable', `${columns[0]} is binary, and a text is expected`)
    if (!isStorableText(text))
      throw new RowProblem('unstorable', `${columns[0]} contains characters that cannot be stored`)
    if (text.length > maxLength)
      throw new RowProblem(
        'unstorable',
        `${columns[0]} is ${text.length} characters long; at most ${maxLength} are kept`,
      )
    return text
  }

  /** @throws RowProblem where it is missing or empty. */
  requiredText(maxLength: number, ...columns: readonly string[]): string {
    const text = this.text(maxLength, ...columns)
    if (text === null || text === '') throw new RowProblem('unreadable', `${columns[0]} is missing`)
    return text
  }

  time(...columns: readonly string[]): string | null {
    const value = this.raw(...columns)
    if (value === null || value === '') return null
    const ms = typeof value === 'string' ? this.#zone.parse(value) : Number.NaN
    if (Number.isNaN(ms)) throw new RowProblem('unreadable', `${columns[0]} is no time: ${brief(value)}`)
    return instantText(ms)
  }

  /** A time that must be there: the first of these columns that has one, else `otherwise`, which is noted. */
  timeOr(otherwise: string, columns: readonly string[], note: string): string {
    const first = this.time(columns[0]!)
    if (first !== null) return first
    const rest = columns.length > 1 ? this.time(...columns.slice(1)) : null
    this.fill(`${columns[0]} ← ${rest === null ? note : columns[1]}`)
    return rest ?? otherwise
  }

  boolean(column: string): string | null {
    const value = this.raw(column)
    if (value === null) return null
    if (value === 1n || value === 1 || value === true) return 'true'
    if (value === 0n || value === 0 || value === false) return 'false'
    throw new RowProblem('unreadable', `${column} is neither 0 nor 1: ${brief(value)}`)
  }

  number(column: string): number | null {
    const value = this.raw(column)
    if (value === null) return null
    if (typeof value === 'number' || typeof value === 'bigint') return Number(value)
    throw new RowProblem('unreadable', `${column} is no number: ${brief(value)}`)
  }

  /** JSON of the first of these columns that has some; the JSON null, which is a text in some files, is nothing. */
  json(...columns: readonly string[]): ParsedJson | undefined {
    const value = this.raw(...columns)
    if (value === null || value === '') return undefined
    const parsed =
      typeof value === 'string' && value.length <= MAX_JSON_CHARACTERS ? parsePythonJson(value) : undefined
    if (parsed === undefined) throw new RowProblem('unreadable', `${columns[0]} is no JSON: ${brief(value)}`)
    return parsed.value === null ? undefined : parsed
  }

  /** As {@link json}, where an object is expected that is to be stored: its text, `{}` where there is none. */
  object(...columns: readonly string[]): ParsedJson & { readonly value: Readonly<Record<string, unknown>> } {
    const parsed = this.json(...columns)
    if (parsed === undefined) return { text: '{}', value: {}, hasTokens: false }
    if (typeof parsed.value !== 'object' || Array.isArray(parsed.value))
      throw new RowProblem('unreadable', `${columns[0]} is no JSON object: ${brief(parsed.text)}`)
    if (!isStorableJson(parsed.value))
      throw new RowProblem('unstorable', `${columns[0]} contains characters that cannot be stored`)
    if (parsed.hasTokens) this.fill(`${columns[0]}: NaN and Infinity, which JSON lacks, are texts now`)
    const text = withoutSecrets(parsed)
    if (text !== parsed.text) this.fill(`${columns[0]}: what opens something was left out`)
    return { ...parsed, text } as ParsedJson & { value: Record<string, unknown> }
  }

  /** The columns that nothing has asked for and that hold something, as an object of JSON; `undefined` where there are none. */
  rest(): string | undefined {
    const fields = Object.entries(this.#values).filter(
      ([column, value]) => !this.#used.has(column) && value !== null && !SECRET.test(column),
    )
    if (fields.length === 0) return undefined
    return jsonObject(Object.fromEntries(fields.map(([column, value]) => [column, toJson(column, value)])))
  }
}

/** The whole row as an object of JSON, without what is secret, for quarantine. */
export function recordOf(values: Readonly<Record<string, SourceValue>>): string {
  const text = jsonObject(
    Object.fromEntries(
      Object.entries(values)
        .filter(([column]) => !SECRET.test(column))
        .map(([column, value]) => [column, lenient(column, value)]),
    ),
  )
  if (text.length <= MAX_RECORD_CHARACTERS) return text
  const short = Object.fromEntries(
    Object.entries(values)
      .filter(([column, value]) => !SECRET.test(column) && (typeof value !== 'string' || value.length < 200))
      .map(([column, value]) => [column, lenient(column, value)]),
  )
  return jsonObject({ ...short, '…': JSON.stringify(`${text.length} characters in the source`) })
}

function lenient(column: string, value: SourceValue): string {
  try {
    return toJson(column, value)
  } catch {
    return JSON.stringify('characters that cannot be stored')
  }
}

function toJson(column: string, value: SourceValue): string {
  if (value instanceof Uint8Array || column === 'model_data') return describeBytes(value)
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'number')
    return Number.isFinite(value) ? JSON.stringify(value) : JSON.stringify(String(value))
  if (typeof value !== 'string') return JSON.stringify(value)
  const parsed = /^\s*[{[]/.test(value) ? parsePythonJson(value) : undefined
  if (parsed !== undefined && isStorableJson(parsed.value)) return withoutSecrets(parsed)
  if (!isStorableText(value))
    throw new RowProblem('unstorable', `${column} contains characters that cannot be stored`)
  return JSON.stringify(value)
}

/** The text as it was, with every digit, where nothing in it opens anything; else written anew without that. */
function withoutSecrets({ text, value }: ParsedJson): string {
  let hasSecret = false
  const kept = JSON.stringify(value, (key, inner: unknown) => {
    const isSecret = SECRET_FIELD.test(key)
    hasSecret ||= isSecret
    return isSecret ? undefined : inner
  })
  return hasSecret ? kept : text
}

/** What is said of a model, which is code and is never looked into. */
function describeBytes(value: SourceValue): string {
  if (value === null) return 'null'
  const bytes = value instanceof Uint8Array ? value : Buffer.from(String(value))
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  return JSON.stringify({ bytes: bytes.length, sha256, kept: false })
}

function brief(value: SourceValue): string {
  if (value instanceof Uint8Array) return `${value.length} bytes`
  const text = String(value)
  return text.length > 40 ? `${text.slice(0, 40)}…` : text
}
