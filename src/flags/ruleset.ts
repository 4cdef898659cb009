import { CompiledFlag } from './compiled-flag.ts'
import { type Evaluation, FLAG_NOT_FOUND, type FlagContext } from './evaluation.ts'
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
  readonly #flags: ReadonlyMap<string, CompiledFlag>

  constructor(flags: Ruleset['flags']) {
    this.#flags = new Map(
      Object.entries(flags).map(([key, definition]) => [key, new CompiledFlag(definition)]),
    )
  }

  get keys(): readonly string[] {
    return [...this.#flags.keys()]
  }

  evaluate(key: string, context: FlagContext): Evaluation {
    return this.#flags.get(key)?.evaluate(context) ?? FLAG_NOT_FOUND
  }
}
