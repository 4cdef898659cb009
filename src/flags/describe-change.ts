import type { FlagDefinition } from './flag.ts'
import { formatRule } from './rule-text.ts'

/** What a version of a flag changed, one phrase for each thing. */
export function describeChange(
  before: FlagDefinition | undefined,
  after: FlagDefinition | undefined,
): string[] {
  if (after === undefined) return ['removed']
  if (before === undefined)
    return [
      `made: ${after.type}, ${after.enabled ? 'on' : 'off'}`,
      ...describeRules([], after.rules.map(formatRule)),
    ]
  const changes: string[] = []
  if (before.enabled !== after.enabled) changes.push(after.enabled ? 'turned on' : 'turned off')
  if (before.description !== after.description) changes.push('description changed')
  for (const name of new Set([...Object.keys(before.variants), ...Object.keys(after.variants)])) {
    const [was, is] = [before, after].map(({ variants }) =>
      Object.hasOwn(variants, name) ? JSON.stringify(variants[name]) : undefined,
    )
    if (was === is) continue
    changes.push(
      was === undefined
        ? `variant ${name} added: ${shorten(is!)}`
        : is === undefined
          ? `variant ${name} removed`
          : `variant ${name}: ${shorten(was)} → ${shorten(is)}`,
    )
  }
  if (before.defaultVariant !== after.defaultVariant)
    changes.push(`default variant: ${before.defaultVariant} → ${after.defaultVariant}`)
  if (before.offVariant !== after.offVariant)
    changes.push(
      `variant while off: ${before.offVariant ?? "the caller's"} → ${after.offVariant ?? "the caller's"}`,
    )
  if (before.salt !== after.salt) changes.push('salt changed: splits are drawn anew')
  const rules = describeRules(before.rules.map(formatRule), after.rules.map(formatRule))
  if (rules.length === 0 && JSON.stringify(before.rules) !== JSON.stringify(after.rules))
    rules.push('descriptions of rules changed')
  return [...changes, ...rules]
}

function describeRules(before: readonly string[], after: readonly string[]): string[] {
  const changes: string[] = []
  for (let index = 0; index < Math.max(before.length, after.length); index++) {
    const [was, is] = [before[index], after[index]]
    if (was === is) continue
    changes.push(
      was === undefined
        ? `rule ${index + 1} added: ${shorten(is!)}`
        : is === undefined
          ? `rule ${index + 1} removed: ${shorten(was)}`
          : `rule ${index + 1}: ${shorten(was)} → ${shorten(is)}`,
    )
  }
  return changes
}

function shorten(text: string): string {
  return text.length <= 100 ? text : `${text.slice(0, 99)}…`
}
