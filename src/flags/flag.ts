/** What the variants of a flag are. */
export const FLAG_TYPES = ['boolean', 'string', 'number', 'json'] as const
export type FlagType = (typeof FLAG_TYPES)[number]

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue }

/** What an attribute of a context is compared with. */
export type AttributeValue = string | number | boolean

/** Some of those that come this far: a variant, and of how many in a hundred. */
export interface SplitShare {
  readonly variant: string
  /** From 0 to 100, in thousandths at the finest. */
  readonly percentage: number
}

/** Whom a rule is for (all of its conditions must hold; none is everybody), and what they get. */
export interface FlagRule {
  readonly description?: string
  /** Ids of tenants; in flags of the installation only. */
  readonly tenants?: readonly string[]
  readonly targetingKeys?: readonly string[]
  /** By name of the attribute, the values of which one must be equal. */
  readonly attributes?: Readonly<Record<string, readonly AttributeValue[]>>
  /** What they all get; a rule has either this or a split. */
  readonly variant?: string
  /** What parts of them get, by the hash of their targeting key; the others go on to the next rule. */
  readonly split?: readonly SplitShare[]
}

/** A flag as it is kept, except for its key. */
export interface FlagDefinition {
  readonly type: FlagType
  readonly description: string
  /** Off: rules are not looked at. */
  readonly enabled: boolean
  readonly variants: Readonly<Record<string, JsonValue>>
  /** What those get whom no rule is for. */
  readonly defaultVariant: string
  /** What everybody gets while it is off; `null`: what the caller has for a default. */
  readonly offVariant: string | null
  /** In order: the first that fits decides. */
  readonly rules: readonly FlagRule[]
  /** Goes into the hash of splits: flags of the same salt put the same keys into the same parts. */
  readonly salt: string
}

/** What of a flag can be changed; its type stays, since programs rely on it. */
export type FlagChange = Partial<Omit<FlagDefinition, 'type'>>

/** What a flag may have at most. */
export const FLAG_LIMITS = {
  flags: 1_000,
  variants: 50,
  rules: 100,
  /** Of one condition. */
  values: 1_000,
  attributes: 20,
  nameLength: 100,
  descriptionLength: 2_000,
  valueLength: 200,
  /** Of the whole flag as JSON. */
  bytes: 65_536,
} as const

export const FLAG_KEY = /^[a-z0-9][a-z0-9._-]{0,99}$/
export const VARIANT_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/
