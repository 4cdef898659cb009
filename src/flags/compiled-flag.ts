import { type Evaluation, type EvaluationReason, failedEvaluation, type FlagContext } from './evaluation.ts'
import type { FlagDefinition, FlagRule, JsonValue } from './flag.ts'
import { murmurHash } from './murmur-hash.ts'
import { splitRanges } from './split-ranges.ts'

interface CompiledSplit {
  readonly from: number
  readonly to: number
  readonly outcome: Evaluation
}

interface CompiledRule {
  readonly tenants: ReadonlySet<string> | undefined
  readonly targetingKeys: ReadonlySet<string> | undefined
  readonly attributes: readonly { readonly name: string; readonly values: ReadonlySet<unknown> }[]
  /** What everybody gets whom it is for; `undefined` where that is split. */
  readonly outcome: Evaluation | undefined
  readonly split: readonly CompiledSplit[]
}

const KEY_MISSING = failedEvaluation(
  'TARGETING_KEY_MISSING',
  'The flag is split by targeting key, and the context has none.',
)

/** A flag made ready: evaluating it looks at memory alone, makes nothing, and depends on the context alone. */
export class CompiledFlag {
  readonly definition: FlagDefinition
  readonly #rules: readonly CompiledRule[]
  readonly #seed: number
  readonly #off: Evaluation
  readonly #default: Evaluation

  /** @param definition one that has been checked. */
  constructor(definition: FlagDefinition) {
    this.definition = deepFreeze(definition)
    this.#seed = murmurHash(definition.salt, 0)
    this.#off =
      definition.offVariant === null
        ? Object.freeze({ value: undefined, variant: undefined, reason: 'DISABLED' })
        : this.#outcome(definition.offVariant, 'DISABLED')
    this.#default = this.#outcome(
      definition.defaultVariant,
      definition.rules.length === 0 ? 'STATIC' : 'DEFAULT',
    )
    this.#rules = definition.rules.map((rule) => this.#compile(rule))
  }

  /** @param tenantId the tenant it is evaluated for, where rules may ask for that. */
  evaluate(context: FlagContext, tenantId?: string): Evaluation {
    if (!this.definition.enabled) return this.#off
    const rules = this.#rules
    for (let index = 0; index < rules.length; index++) {
      const rule = rules[index]!
      if (!isFor(rule, context, tenantId)) continue
      if (rule.outcome !== undefined) return rule.outcome
      const { split } = rule
      if (split.length === 0) continue
      const { targetingKey } = context
      if (typeof targetingKey !== 'string' || targetingKey === '') return KEY_MISSING
      const hash = murmurHash(targetingKey, this.#seed)
      for (let part = 0; part < split.length; part++) {
        const { from, to, outcome } = split[part]!
        if (hash >= from && hash < to) return outcome
      }
    }
    return this.#default
  }

  #compile(rule: FlagRule): CompiledRule {
    const { tenants, targetingKeys, attributes = {}, variant, split = [] } = rule
    // All of them: nobody needs to be told apart.
    const whole = split.find(({ percentage }) => percentage === 100)
    return {
      tenants: tenants && new Set(tenants),
      targetingKeys: targetingKeys && new Set(targetingKeys),
      attributes: Object.entries(attributes).map(([name, values]) => ({ name, values: new Set(values) })),
      outcome:
        variant !== undefined
          ? this.#outcome(variant, 'TARGETING_MATCH')
          : whole && this.#outcome(whole.variant, 'SPLIT'),
      split: splitRanges(split).map(({ share, from, to }) => ({
        from,
        to,
        outcome: this.#outcome(split[share]!.variant, 'SPLIT'),
      })),
    }
  }

  #outcome(variant: string, reason: EvaluationReason): Evaluation {
    return Object.freeze({ value: this.definition.variants[variant] as JsonValue, variant, reason })
  }
}

function isFor(rule: CompiledRule, context: FlagContext, tenantId: string | undefined): boolean {
  if (rule.tenants !== undefined && (tenantId === undefined || !rule.tenants.has(tenantId))) return false
  if (rule.targetingKeys !== undefined && !rule.targetingKeys.has(context.targetingKey as string))
    return false
  const { attributes } = rule
  for (let index = 0; index < attributes.length; index++) {
    const { name, values } = attributes[index]!
    // Values are texts, numbers and booleans: what a name finds on the prototype is none of these.
    if (!values.has(context[name])) return false
  }
  return true
}

/** What is given out is everybody's: nobody may change it. */
function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const item of Object.values(value)) deepFreeze(item)
  }
  return value
}
