import type { Refuse } from './check-flag.ts'
import { FLAG_LIMITS, type FlagRule } from './flag.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const FIELDS = new Set(['description', 'tenants', 'targetingKeys', 'attributes', 'variant', 'split'])

/** Looks at every rule of a flag. */
export function checkRules(
  rules: unknown,
  variants: ReadonlySet<string>,
  isOfTenant: boolean,
  refuse: Refuse,
): void {
  if (!Array.isArray(rules)) return refuse('rules', 'must be a list')
  if (rules.length > FLAG_LIMITS.rules) return refuse('rules', `must be at most ${FLAG_LIMITS.rules}`)
  rules.forEach((rule: unknown, index) => {
    const field = `rules.${index}`
    if (typeof rule !== 'object' || rule === null || Array.isArray(rule))
      return refuse(field, 'must be an object')
    for (const name of Object.keys(rule))
      if (!FIELDS.has(name)) refuse(`${field}.${name.slice(0, 40)}`, 'is not known here')
    checkConditions(rule, field, isOfTenant, refuse)
    checkOutcome(rule, field, variants, refuse)
  })
}

function checkConditions(rule: FlagRule, field: string, isOfTenant: boolean, refuse: Refuse): void {
  const { description, tenants, targetingKeys, attributes } = rule
  if (description !== undefined && !isText(description, FLAG_LIMITS.descriptionLength))
    refuse(`${field}.description`, `must be a text of at most ${FLAG_LIMITS.descriptionLength} characters`)
  if (tenants !== undefined) {
    if (isOfTenant) refuse(`${field}.tenants`, 'has no meaning in a flag of a tenant: leave it out')
    else if (!isListOf(tenants, (id) => typeof id === 'string' && UUID.test(id)))
      refuse(`${field}.tenants`, `must be 1 to ${FLAG_LIMITS.values} ids of tenants`)
  }
  if (targetingKeys !== undefined && !isListOf(targetingKeys, (key) => isText(key, FLAG_LIMITS.valueLength)))
    refuse(
      `${field}.targetingKeys`,
      `must be 1 to ${FLAG_LIMITS.values} texts of at most ${FLAG_LIMITS.valueLength} characters`,
    )
  if (attributes === undefined) return
  if (typeof attributes !== 'object' || attributes === null || Array.isArray(attributes))
    return refuse(`${field}.attributes`, 'must be an object of lists of values by attribute')
  const entries = Object.entries(attributes)
  if (entries.length > FLAG_LIMITS.attributes)
    refuse(`${field}.attributes`, `must be at most ${FLAG_LIMITS.attributes}`)
  for (const [name, values] of entries) {
    if (name === '' || name.length > FLAG_LIMITS.nameLength)
      refuse(`${field}.attributes`, `must have names of 1 to ${FLAG_LIMITS.nameLength} characters`)
    if (!isListOf(values, isAttributeValue))
      refuse(
        `${field}.attributes.${name.slice(0, 40)}`,
        `must be a list of 1 to ${FLAG_LIMITS.values} texts (at most ${FLAG_LIMITS.valueLength} characters), numbers or booleans`,
      )
  }
}

function checkOutcome(rule: FlagRule, field: string, variants: ReadonlySet<string>, refuse: Refuse): void {
  const { variant, split } = rule
  const known = [...variants].join(', ')
  if ((variant === undefined) === (split === undefined))
    return refuse(field, 'must have either a variant or a split')
  if (variant !== undefined) {
    if (!variants.has(variant)) refuse(`${field}.variant`, `must be one of the variants: ${known}`)
    return
  }
  if (!Array.isArray(split) || split.length === 0 || split.length > FLAG_LIMITS.variants)
    return refuse(`${field}.split`, `must be a list of 1 to ${FLAG_LIMITS.variants} shares`)
  let thousandths = 0
  const seen = new Set<unknown>()
  split.forEach((share: unknown, index) => {
    const at = `${field}.split.${index}`
    const { variant: name, percentage } = (share ?? {}) as Record<string, unknown>
    if (typeof name !== 'string' || !variants.has(name))
      refuse(`${at}.variant`, `must be one of the variants: ${known}`)
    if (seen.has(name)) refuse(`${at}.variant`, 'is in this split already')
    seen.add(name)
    if (!isPercentage(percentage))
      return refuse(
        `${at}.percentage`,
        'must be a number from 0 to 100 with at most three digits behind the point',
      )
    thousandths += Math.round(percentage * 1_000)
  })
  if (thousandths > 100_000) refuse(`${field}.split`, 'must not come to more than 100 % together')
}

function isPercentage(value: unknown): value is number {
  if (typeof value !== 'number' || !(value >= 0 && value <= 100)) return false
  return Math.abs(value * 1_000 - Math.round(value * 1_000)) < 1e-6
}

function isText(value: unknown, maxLength: number): value is string {
  return typeof value === 'string' && value.length <= maxLength
}

function isAttributeValue(value: unknown): boolean {
  return isText(value, FLAG_LIMITS.valueLength) || typeof value === 'boolean' || Number.isFinite(value)
}

function isListOf(list: unknown, isFitting: (item: unknown) => boolean): boolean {
  return Array.isArray(list) && list.length >= 1 && list.length <= FLAG_LIMITS.values && list.every(isFitting)
}
