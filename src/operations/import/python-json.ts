/** A JSON text that PostgreSQL takes, and its value. */
export interface ParsedJson {
  readonly text: string
  readonly value: unknown
  /** Whether it had Python's NaN or Infinity, which are texts now. */
  readonly hasTokens: boolean
}

const STRING_OR_TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\b(?:NaN|Infinity)\b/gs

/**
 * Parses what Python's `json.dumps` writes: JSON, in which the tokens NaN, Infinity and -Infinity may stand; they become texts of the same name.
 * `undefined` where it is something else.
 */
export function parsePythonJson(text: string): ParsedJson | undefined {
  const value = parse(text)
  if (value !== undefined) return { text, value: value.value, hasTokens: false }
  if (!/NaN|Infinity/.test(text)) return undefined
  const quoted = text.replaceAll(STRING_OR_TOKEN, (match) => (match.startsWith('"') ? match : `"${match}"`))
  const again = parse(quoted)
  return again === undefined ? undefined : { text: quoted, value: again.value, hasTokens: true }
}

function parse(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

/** Whether PostgreSQL stores this value as jsonb: it takes neither NUL nor half of a surrogate pair. */
export function isStorableJson(value: unknown): boolean {
  // Of well-formed text JSON.stringify escapes no surrogate (ECMA-262, QuoteJSONString).
  return !/\\u(?:0000|d[89a-f][0-9a-f]{2})/.test(JSON.stringify(value).replaceAll('\\\\', ''))
}

/** A number of a list that may hold the texts of tokens; `undefined` where it is none. */
export function toFloat(value: unknown): number | undefined {
  if (typeof value === 'number') return value
  if (value === 'NaN' || value === 'Infinity' || value === '-Infinity') return Number(value)
  return undefined
}

/** The text of an object, from texts of JSON: numbers in them keep all their digits. */
export function jsonObject(fields: Readonly<Record<string, string | undefined>>): string {
  const parts = Object.entries(fields).flatMap(([name, text]) =>
    text === undefined ? [] : [`${JSON.stringify(name)}:${text}`],
  )
  return `{${parts.join(',')}}`
}

/** One text for one value, whatever order its fields stand in. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([name, item]) => `${JSON.stringify(name)}:${canonicalJson(item)}`).join(',')}}`
}
