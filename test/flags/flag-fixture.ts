import fc from 'fast-check'
import type { FlagContext } from '../../src/flags/evaluation.ts'
import type { AttributeValue, FlagDefinition, FlagRule } from '../../src/flags/flag.ts'
import { murmurHash } from '../../src/flags/murmur-hash.ts'
import { splitRanges } from '../../src/flags/split-ranges.ts'

export const TENANTS = [
  '00000000-0000-4000-8000-00000000000a',
  '00000000-0000-4000-8000-00000000000b',
] as const
const USERS = ['ann', 'bob', 'cleo', 'dan', '']
const VARIANTS = ['red', 'green', 'blue'] as const
const VALUES: readonly AttributeValue[] = ['pro', 'free', 1, 0, true, false, '1', 'true']

/** Some of a list, in its order. */
const someOf = <T>(list: readonly T[]): fc.Arbitrary<T[]> => fc.subarray([...list], { minLength: 1 })

/** Splits of up to three variants that come to at most 100 %. */
export const anySplit = fc
  .tuple(
    fc.shuffledSubarray([...VARIANTS], { minLength: 1 }),
    fc.array(fc.nat(100_000), { minLength: 3, maxLength: 3 }),
  )
  .map(([variants, weights]) => {
    let left = 100_000
    return variants.map((variant, index) => {
      const units = Math.min(left, weights[index]!)
      left -= units
      return { variant, percentage: units / 1_000 }
    })
  })

const anyRule: fc.Arbitrary<FlagRule> = fc
  .record(
    {
      tenants: someOf(TENANTS),
      targetingKeys: someOf(USERS),
      attributes: fc.dictionary(fc.constantFrom('plan', 'level', 'beta'), someOf(VALUES), { maxKeys: 2 }),
    },
    { requiredKeys: [] },
  )
  .chain((conditions) =>
    fc.oneof(
      fc.constantFrom(...VARIANTS).map((variant) => ({ ...conditions, variant })),
      anySplit.map((split) => ({ ...conditions, split })),
    ),
  )

/** Flags of three variants with up to five rules of every kind. */
export const anyFlag: fc.Arbitrary<FlagDefinition> = fc.record({
  type: fc.constant('string' as const),
  description: fc.constant(''),
  enabled: fc.boolean(),
  variants: fc.constant({ red: 'RED', green: 'GREEN', blue: 'BLUE' }),
  defaultVariant: fc.constantFrom(...VARIANTS),
  offVariant: fc.constantFrom(...VARIANTS, null),
  rules: fc.array(anyRule, { maxLength: 5 }),
  salt: fc.string({ minLength: 1, maxLength: 20 }),
})

export const anyContext: fc.Arbitrary<FlagContext> = fc.record(
  {
    targetingKey: fc.oneof(fc.constantFrom(...USERS), fc.string({ maxLength: 20 })),
    plan: fc.constantFrom(...VALUES, null, 'other'),
    level: fc.constantFrom(...VALUES, { nested: 1 }),
    beta: fc.constantFrom(...VALUES),
  },
  { requiredKeys: [] },
)

/** What a flag comes out as, said as simply as can be: the rules one after the other, as they are written. */
export function referenceVariant(
  flag: FlagDefinition,
  context: FlagContext,
  tenantId: string | undefined,
): { variant: string | undefined; reason: string } {
  if (!flag.enabled) return { variant: flag.offVariant ?? undefined, reason: 'DISABLED' }
  for (const rule of flag.rules) {
    const isTenant = rule.tenants?.some((id) => id === tenantId) ?? true
    const isUser = rule.targetingKeys?.some((key) => key === context.targetingKey) ?? true
    const hasAttributes = Object.entries(rule.attributes ?? {}).every(([name, values]) =>
      values.some((value) => value === context[name]),
    )
    if (!isTenant || !isUser || !hasAttributes) continue
    if (rule.variant !== undefined) return { variant: rule.variant, reason: 'TARGETING_MATCH' }
    const shares = rule.split!.filter(({ percentage }) => percentage > 0)
    if (shares.length === 0) continue
    if (shares[0]!.percentage === 100) return { variant: shares[0]!.variant, reason: 'SPLIT' }
    if (context.targetingKey === undefined || context.targetingKey === '')
      return { variant: undefined, reason: 'ERROR' }
    const hash = murmurHash(context.targetingKey, murmurHash(flag.salt, 0))
    const range = splitRanges(rule.split!).find(({ from, to }) => from <= hash && hash < to)
    if (range !== undefined) return { variant: rule.split![range.share]!.variant, reason: 'SPLIT' }
  }
  return { variant: flag.defaultVariant, reason: flag.rules.length === 0 ? 'STATIC' : 'DEFAULT' }
}
