import { NomalyError } from '../errors.ts'
import { POINT_LIMITS, type SeriesKey } from '../metrics/metrics-engine.ts'
import { INPUT_LIMITS } from './parsed-points.ts'

/** Spellings remembered at most; beyond, the memory is emptied: an input may order its tags in endless ways. */
const MAX_SPELLINGS = 4 * INPUT_LIMITS.maxSeries

/** Numbers the series of one input, and checks each name once. */
export class SeriesTable {
  readonly keys: SeriesKey[] = []
  #spellings = new Map<string, number>()
  readonly #indexes = new Map<string, number>()
  readonly #maxSeries: number

  constructor(maxSeries: number = INPUT_LIMITS.maxSeries) {
    this.#maxSeries = maxSeries
  }

  /**
   * Number of the series, or in words why its name is refused; tags that are null or undefined count as absent.
   * Throws `too_large` for one series more than allowed.
   */
  find(metric: unknown, tags: unknown): number | string {
    if (typeof metric !== 'string') return `metric: expected text, found ${describe(metric)}`
    let spelling = metric
    if (tags !== undefined && tags !== null) {
      if (typeof tags !== 'object' || Array.isArray(tags)) {
        return `tags: expected an object of names and values, found ${describe(tags)}`
      }
      for (const name in tags) {
        const value = (tags as Record<string, unknown>)[name]
        if (typeof value === 'object' && value !== null) {
          return `tags.${shorten(name)}: expected text, a number or true/false, found ${describe(value)}`
        }
        // Lengths keep apart what separators alone could not: any character may stand in a name.
        const text = typeof value === 'string' ? value : String(value)
        spelling += `\n${name.length},${typeof value === 'object' ? -1 : text.length}:${name}${text}`
      }
    }
    const known = this.#spellings.get(spelling)
    return known ?? this.#add(spelling, metric, (tags ?? {}) as Record<string, unknown>)
  }

  #add(spelling: string, metric: string, tags: Record<string, unknown>): number | string {
    const problem = nameProblem('metric', metric, POINT_LIMITS.maxMetricLength)
    if (problem !== undefined) return problem
    const entries: [string, string][] = []
    for (const name of Object.keys(tags).toSorted()) {
      const value = tags[name]
      if (value === null || value === undefined) continue
      if (name === '__proto__') return 'tags.__proto__: this name cannot be used for a tag'
      const text = String(value)
      const wrong =
        nameProblem(`tags, name "${shorten(name)}"`, name, POINT_LIMITS.maxTagKeyLength) ??
        (text === '' ? undefined : nameProblem(`tags.${shorten(name)}`, text, POINT_LIMITS.maxTagValueLength))
      if (wrong !== undefined) return wrong
      entries.push([name, text])
    }
    if (entries.length > POINT_LIMITS.maxTags) {
      return `tags: ${entries.length} tags, at most ${POINT_LIMITS.maxTags} are allowed`
    }
    const identity = JSON.stringify([metric, entries])
    let index = this.#indexes.get(identity)
    if (index === undefined) {
      if (this.keys.length >= this.#maxSeries) throw this.#explosion()
      index = this.keys.push({ metric, tags: Object.fromEntries(entries) }) - 1
      this.#indexes.set(identity, index)
    }
    if (this.#spellings.size >= MAX_SPELLINGS) this.#spellings = new Map()
    this.#spellings.set(spelling, index)
    return index
  }

  #explosion(): NomalyError {
    const values = new Map<string, Set<string>>()
    const note = (field: string, value: string): void => {
      const seen = values.get(field)
      if (seen === undefined) values.set(field, new Set([value]))
      else seen.add(value)
    }
    for (const { metric, tags } of this.keys) {
      note('metric', metric)
      for (const [name, value] of Object.entries(tags)) note(`tags.${name}`, value)
    }
    const [field, seen] = [...values].reduce((most, entry) => (entry[1].size > most[1].size ? entry : most))
    const limit = this.#maxSeries.toLocaleString('en')
    const reason = `it has ${seen.size.toLocaleString('en')} different values`
    return new NomalyError(
      'too_large',
      `More than ${limit} series in one input: ${field} explodes, ${reason}.`,
      {
        hint: `A tag names where a series comes from and has few values. Leave ${field} out, or send the data in parts.`,
        problems: [{ field, reason }],
      },
    )
  }
}

function nameProblem(field: string, text: string, maxLength: number): string | undefined {
  if (text.length === 0) return `${field}: empty, expected 1 to ${maxLength} characters`
  if (text.length > maxLength) return `${field}: ${text.length} characters, at most ${maxLength} are allowed`
  if (text.includes('\0')) return `${field}: holds a NUL character, which cannot be stored`
  if (!text.isWellFormed()) return `${field}: holds half a surrogate pair, which is not valid Unicode`
  return undefined
}

/** Text for a message, cut at 40 characters. */
export function shorten(text: string): string {
  const clean = text.toWellFormed().replaceAll(/[\p{Cc}]/gu, ' ')
  return clean.length > 40 ? `${clean.slice(0, 40).toWellFormed()}…` : clean
}

/** A JSON value for a message: its kind, and the value itself where it is short. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object') return 'an object'
  return typeof value === 'string' ? `"${shorten(value)}"` : String(value)
}
