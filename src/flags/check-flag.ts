import { type FieldProblem, NomalyError } from '../errors.ts'
import { checkRules } from './check-rules.ts'
import {
  FLAG_KEY,
  FLAG_LIMITS,
  FLAG_TYPES,
  type FlagChange,
  type FlagDefinition,
  type FlagType,
  type JsonValue,
  VARIANT_NAME,
} from './flag.ts'

/** Gathers what is wrong with an input, field by field. */
export type Refuse = (field: string, reason: string) => void

/** What a new flag is given; the rest has defaults. */
export type FlagInput = { readonly type?: FlagType } & FlagChange

/**
 * A new flag from what was given: off, and a boolean one with the variants `on` and `off`.
 * @param isOfTenant whether it belongs to a tenant, and so cannot tell tenants apart.
 * @throws NomalyError `invalid_input` that names every field that is wrong.
 */
export function createDefinition(key: string, input: FlagInput, isOfTenant: boolean): FlagDefinition {
  if (!FLAG_KEY.test(key))
    throw refused([
      {
        field: 'key',
        reason:
          'must be 1 to 100 lower-case letters, digits, dots, dashes and underscores, and begin with a letter or digit',
      },
    ])
  const type = input.type ?? 'boolean'
  const isBoolean = type === 'boolean' && input.variants === undefined
  const variants = isBoolean ? { on: true, off: false } : (input.variants ?? {})
  const names = typeof variants === 'object' && variants !== null ? Object.keys(variants) : []
  return checkDefinition(
    {
      type,
      description: '',
      enabled: false,
      defaultVariant: names[0] ?? '',
      offVariant: isBoolean ? 'off' : null,
      rules: [],
      salt: key,
      ...input,
      variants,
    },
    isOfTenant,
  )
}

/** A flag as it is after a change. @throws NomalyError `invalid_input` that names every field that is wrong. */
export function changeDefinition(
  before: FlagDefinition,
  change: FlagChange,
  isOfTenant: boolean,
): FlagDefinition {
  return checkDefinition({ ...before, ...change, type: before.type }, isOfTenant)
}

/** Whether the input is a flag, through and through. @throws NomalyError `invalid_input` that names every field that is wrong. */
export function checkDefinition(input: FlagDefinition, isOfTenant: boolean): FlagDefinition {
  const problems: FieldProblem[] = []
  const refuse: Refuse = (field, reason) => void problems.push({ field, reason })
  const { type, description, enabled, variants, defaultVariant, offVariant, rules, salt } = input
  if (!FLAG_TYPES.includes(type)) refuse('type', `must be one of ${FLAG_TYPES.join(', ')}`)
  if (typeof description !== 'string' || description.length > FLAG_LIMITS.descriptionLength)
    refuse('description', `must be a text of at most ${FLAG_LIMITS.descriptionLength} characters`)
  if (typeof enabled !== 'boolean') refuse('enabled', 'must be true or false')
  if (typeof salt !== 'string' || salt === '' || salt.length > FLAG_LIMITS.valueLength)
    refuse('salt', `must be a text of 1 to ${FLAG_LIMITS.valueLength} characters`)
  const names = checkVariants(type, variants, refuse)
  const known = [...names].join(', ')
  if (!names.has(defaultVariant)) refuse('defaultVariant', `must be one of the variants: ${known}`)
  if (offVariant !== null && !names.has(offVariant))
    refuse('offVariant', `must be null or one of the variants: ${known}`)
  checkRules(rules, names, isOfTenant, refuse)
  if (problems.length > 0) throw refused(problems)
  const flag = { type, description, enabled, variants, defaultVariant, offVariant, rules, salt }
  const bytes = Buffer.byteLength(JSON.stringify(flag))
  if (bytes > FLAG_LIMITS.bytes)
    throw refused([
      {
        field: 'rules',
        reason: `make the flag ${bytes} bytes of JSON, and ${FLAG_LIMITS.bytes} are the most it may have`,
      },
    ])
  return flag
}

function checkVariants(type: FlagType, variants: unknown, refuse: Refuse): ReadonlySet<string> {
  if (typeof variants !== 'object' || variants === null || Array.isArray(variants)) {
    refuse('variants', 'must be an object of values by name')
    return new Set()
  }
  const entries = Object.entries(variants as Record<string, JsonValue>)
  if (entries.length === 0 || entries.length > FLAG_LIMITS.variants)
    refuse('variants', `must be 1 to ${FLAG_LIMITS.variants}`)
  for (const [name, value] of entries) {
    if (!VARIANT_NAME.test(name))
      refuse(
        `variants.${name.slice(0, 40)}`,
        'must have a name of 1 to 100 letters, digits, dots, dashes and underscores',
      )
    const isFitting =
      type === 'json' ? isJson(value) : typeof value === type && (type !== 'number' || Number.isFinite(value))
    if (!isFitting) refuse(`variants.${name.slice(0, 40)}`, `must be a ${type} as the flag's type says`)
  }
  return new Set(entries.map(([name]) => name))
}

/** Depth is bounded, so that nothing that walks a value runs out of stack. */
function isJson(value: unknown, depth = 0): boolean {
  if (depth > 20) return false
  if (value === null || ['boolean', 'string'].includes(typeof value)) return true
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object') return false
  return Object.values(value).every((item) => isJson(item, depth + 1))
}

function refused(problems: readonly FieldProblem[]): NomalyError {
  return new NomalyError('invalid_input', `${problems[0]!.field} ${problems[0]!.reason}.`, {
    problems: problems.slice(0, 20),
    hint: 'docs/reference/flags.md says what a flag is made of.',
  })
}
