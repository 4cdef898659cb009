import { checkDefinition } from './check-flag.ts'
import { CompiledFlag } from './compiled-flag.ts'
import { type Evaluation, failedEvaluation, FLAG_NOT_FOUND, type FlagContext } from './evaluation.ts'
import type { FlagDefinition, FlagRule } from './flag.ts'

/** All that decides about the flags of one tenant. */
export interface Ruleset {
  /** Grows with every change. */
  readonly revision: number
  /** As in RFC 9110: the same for the same revision and content. */
  readonly etag: string
  readonly flags: Readonly<Record<string, FlagDefinition>>
}

/** A flag of the installation as one tenant may know it: rules for others are gone, and those for this one do not say for whom. */
export function rulesFor(definition: FlagDefinition, tenantId: string): FlagDefinition {
  if (definition.rules.every(({ tenants }) => tenants === undefined)) return definition
  const rules = definition.rules
    .filter(({ tenants }) => tenants?.includes(tenantId) !== false)
    .map((rule): FlagRule => {
      const { tenants: _, ...rest } = rule
      return rest
    })
  return { ...definition, rules }
}

/** Evaluates flags of a ruleset that was fetched from elsewhere. */
export class RulesetEvaluator {
  readonly #flags = new Map<string, CompiledFlag>()
  readonly #broken = new Map<string, Evaluation>()

  constructor(flags: Ruleset['flags']) {
    for (const [key, definition] of Object.entries(flags))
      try {
        this.#flags.set(key, new CompiledFlag(checkDefinition(definition, true)))
      } catch (error) {
        // Made by a newer version of the product: it alone is not to be had.
        this.#broken.set(key, failedEvaluation('PARSE_ERROR', (error as Error).message))
      }
  }

  evaluate(key: string, context: FlagContext): Evaluation {
    return this.#flags.get(key)?.evaluate(context) ?? this.#broken.get(key) ?? FLAG_NOT_FOUND
  }
}
