import { POINT_LIMITS, type SeriesKey } from './metrics-engine.ts'

/** One text per series of a source, whatever order its tags are written in. */
export function canonicalKey(key: SeriesKey): string {
  const names = Object.keys(key.tags)
  if (names.length > 1) names.sort()
  const parts = [key.metric]
  for (const name of names) parts.push(name, key.tags[name]!)
  return JSON.stringify(parts)
}

/** Why a series cannot have this name and these tags, in one sentence; `undefined` when it can. */
export function keyProblem(key: SeriesKey): string | undefined {
  const { maxMetricLength, maxTags, maxTagKeyLength, maxTagValueLength } = POINT_LIMITS
  const metric = textProblem(key.metric, maxMetricLength)
  if (metric !== undefined) return `metric ${metric}`
  if (typeof key.tags !== 'object' || key.tags === null || Array.isArray(key.tags))
    return 'tags must be an object of texts'
  const entries = Object.entries(key.tags)
  if (entries.length > maxTags) return `there are ${entries.length} tags; at most ${maxTags} are allowed`
  for (const [name, value] of entries) {
    const problem = textProblem(name, maxTagKeyLength)
    if (problem !== undefined) return `a tag name ${problem}`
    const valueProblem = textProblem(value, maxTagValueLength, true)
    if (valueProblem !== undefined) return `the value of tag "${name}" ${valueProblem}`
  }
  return undefined
}

function textProblem(text: unknown, maxLength: number, mayBeEmpty = false): string | undefined {
  if (typeof text !== 'string') return 'must be a text'
  if (text === '' && !mayBeEmpty) return 'must not be empty'
  if (text.length > maxLength) return `is ${text.length} characters long; at most ${maxLength} are allowed`
  if (!isStorableText(text)) return 'contains characters that cannot be stored'
  return undefined
}

/** PostgreSQL stores neither NUL nor half of a surrogate pair. */
export function isStorableText(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed()
}
