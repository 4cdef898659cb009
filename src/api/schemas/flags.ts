import { Type } from 'typebox'
import type { Flag, FlagVersion } from '../../flags/flag-repository.ts'
import { FLAG_LIMITS, FLAG_TYPES, type FlagDefinition } from '../../flags/flag.ts'
import { FlagKey, Time } from './shared.ts'

export const FlagParams = Type.Object({ key: FlagKey })
export const IfMatch = Type.Object({
  'if-match': Type.Optional(
    Type.String({
      maxLength: 200,
      description:
        'ETag of the version that the change was made up for; where there is another one now, 412 is answered',
    }),
  ),
})
export const Note = Type.Optional(
  Type.String({ maxLength: 2_000, description: 'Why; stands in the history and in the audit log' }),
)
const VariantName = Type.String({ minLength: 1, maxLength: FLAG_LIMITS.nameLength })
const Description = Type.String({ maxLength: FLAG_LIMITS.descriptionLength })
const Text = Type.String({ maxLength: FLAG_LIMITS.valueLength })
const Rule = Type.Object(
  {
    description: Type.Optional(Description),
    targetingKeys: Type.Optional(Type.Array(Text, { minItems: 1, maxItems: FLAG_LIMITS.values })),
    attributes: Type.Optional(
      Type.Record(
        Type.String({ minLength: 1, maxLength: FLAG_LIMITS.nameLength }),
        Type.Array(Type.Union([Text, Type.Number(), Type.Boolean()]), {
          minItems: 1,
          maxItems: FLAG_LIMITS.values,
        }),
        { maxProperties: FLAG_LIMITS.attributes },
      ),
    ),
    variant: Type.Optional(VariantName),
    split: Type.Optional(
      Type.Array(
        Type.Object(
          { variant: VariantName, percentage: Type.Number({ minimum: 0, maximum: 100 }) },
          { additionalProperties: false },
        ),
        { minItems: 1, maxItems: FLAG_LIMITS.variants },
      ),
    ),
  },
  {
    additionalProperties: false,
    description:
      'All conditions must hold; `variant` for everybody then, or `split` for parts by targeting key',
  },
)
const Variants = Type.Record(VariantName, Type.Unknown(), {
  maxProperties: FLAG_LIMITS.variants,
  description: 'Values by name, each of the type of the flag',
})
const changeable = {
  description: Type.Optional(Description),
  enabled: Type.Optional(Type.Boolean({ description: 'Off: everybody gets `offVariant`' })),
  variants: Type.Optional(Variants),
  defaultVariant: Type.Optional(VariantName),
  offVariant: Type.Optional(
    Type.Union([VariantName, Type.Null()], { description: 'null: what the program has for a default' }),
  ),
  rules: Type.Optional(
    Type.Array(Rule, { maxItems: FLAG_LIMITS.rules, description: 'In order: the first that fits decides' }),
  ),
  salt: Type.Optional(Type.String({ minLength: 1, maxLength: FLAG_LIMITS.valueLength })),
}
export const FlagChangeBody = Type.Object(
  { ...changeable, note: Note },
  { additionalProperties: false, minProperties: 1 },
)
export const NewFlagBody = Type.Object(
  { key: FlagKey, type: Type.Optional(Type.Enum([...FLAG_TYPES])), ...changeable, note: Note },
  { additionalProperties: false },
)
const definition = {
  type: Type.Enum([...FLAG_TYPES]),
  description: Type.String(),
  enabled: Type.Boolean(),
  variants: Type.Record(Type.String(), Type.Unknown()),
  defaultVariant: Type.String(),
  offVariant: Type.Union([Type.String(), Type.Null()]),
  rules: Type.Array(Rule),
  salt: Type.String(),
}
export const DefinitionBody = Type.Object(definition)
export const FlagBody = Type.Object({
  key: Type.String(),
  version: Type.Integer(),
  ...definition,
  changedAt: Time,
  changedBy: Type.String(),
})
export const FlagVersionBody = Type.Object({
  version: Type.Integer(),
  changedAt: Time,
  changedBy: Type.String(),
  note: Type.String(),
  revertedTo: Type.Union([Type.Integer(), Type.Null()]),
  changes: Type.Array(Type.String(), { description: 'What is other than in the version before' }),
  definition: Type.Union([DefinitionBody, Type.Null()], { description: 'null: the flag was removed' }),
})

/** The form of a flag that leaves the process. */
export function presentFlag(flag: Flag): Type.Static<typeof FlagBody> {
  const { key, version, changedAt, changedBy, ...rest } = flag
  return { key, version, ...presentDefinition(rest), changedAt: changedAt.toISOString(), changedBy }
}

export function presentVersion(version: FlagVersion): Type.Static<typeof FlagVersionBody> {
  return {
    ...version,
    changedAt: version.changedAt.toISOString(),
    changes: [...version.changes],
    definition: version.definition === null ? null : presentDefinition(version.definition),
  }
}

export function presentDefinition(flag: FlagDefinition): Type.Static<typeof DefinitionBody> {
  // The same, except that what answers a request may be changed.
  return flag as Type.Static<typeof DefinitionBody>
}
