import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkDefinition, createDefinition } from '../../src/flags/check-flag.ts'
import { CompiledFlag } from '../../src/flags/compiled-flag.ts'
import type { SplitShare } from '../../src/flags/flag.ts'
import { rulesFor } from '../../src/flags/ruleset.ts'
import { splitRanges } from '../../src/flags/split-ranges.ts'
import { anyContext, anyFlag, anySplit, referenceVariant, TENANTS } from './flag-fixture.ts'

const anyTenant = fc.constantFrom(...TENANTS, undefined)
const USERS = Array.from({ length: 20_000 }, (_, index) => `user-${index}`)

function splitFlag(split: readonly SplitShare[], salt = 'salt'): CompiledFlag {
  const variants = { red: 'RED', green: 'GREEN', blue: 'BLUE', rest: 'REST' }
  return new CompiledFlag(
    createDefinition(
      'colour',
      { type: 'string', enabled: true, variants, defaultVariant: 'rest', rules: [{ split }], salt },
      true,
    ),
  )
}

function variantOf(flag: CompiledFlag, targetingKey: string): string | undefined {
  return flag.evaluate({ targetingKey }).variant
}

test('a flag comes out as its rules say, read one after the other', () => {
  fc.assert(
    fc.property(anyFlag, anyContext, anyTenant, (definition, context, tenantId) => {
      checkDefinition(definition, false)
      const { variant, reason, value, errorCode } = new CompiledFlag(definition).evaluate(context, tenantId)
      expect({ variant, reason }).toEqual(referenceVariant(definition, context, tenantId))
      expect(value).toBe(variant?.toUpperCase())
      expect(errorCode).toBe(reason === 'ERROR' ? 'TARGETING_KEY_MISSING' : undefined)
    }),
    { numRuns: 5_000 },
  )
})

test('what one tenant is given of a flag of the installation comes out the same, and names no tenant', () => {
  fc.assert(
    fc.property(anyFlag, anyContext, fc.constantFrom(...TENANTS), (definition, context, tenantId) => {
      const given = rulesFor(definition, tenantId)
      expect(JSON.stringify(given)).not.toMatch(new RegExp(TENANTS.join('|')))
      expect(new CompiledFlag(given).evaluate(context).variant).toBe(
        new CompiledFlag(definition).evaluate(context, tenantId).variant,
      )
    }),
    { numRuns: 2_000 },
  )
})

test('the same key gets the same, whatever else the context says and however often it is asked', () => {
  fc.assert(
    fc.property(anySplit, fc.string({ minLength: 1 }), anyContext, (split, targetingKey, context) => {
      const first = splitFlag(split).evaluate({ targetingKey })
      const flag = splitFlag(split)
      expect(flag.evaluate({ ...context, targetingKey })).toEqual(first)
      expect(flag.evaluate({ targetingKey })).toEqual(first)
    }),
  )
})

test('the ranges of a split never overlap, and are as long as their shares', () => {
  const shares = fc.array(fc.nat(30_000), { minLength: 1, maxLength: 12 }).map((weights) => {
    let left = 100_000
    return weights.map((weight, index) => {
      const units = Math.min(left, weight)
      left -= units
      return { variant: `v${index}`, percentage: units / 1_000 }
    })
  })
  fc.assert(
    fc.property(shares, (split) => {
      const ranges = splitRanges(split).toSorted((a, b) => a.from - b.from)
      let end = 0
      for (const { from, to } of ranges) {
        expect(from).toBeGreaterThanOrEqual(end)
        expect(to).toBeGreaterThan(from)
        end = to
      }
      expect(end).toBeLessThanOrEqual(2 ** 32)
      split.forEach(({ percentage }, share) => {
        const taken = ranges
          .filter((range) => range.share === share)
          .reduce((sum, { from, to }) => sum + to - from, 0)
        expect(Math.abs(taken / 2 ** 32 - percentage / 100)).toBeLessThan(1e-8)
      })
    }),
    { numRuns: 2_000 },
  )
})

test('a percentage that grows keeps everybody who was in, and one that shrinks lets nobody else in', () => {
  const percentage = fc.integer({ min: 0, max: 100_000 }).map((units) => units / 1_000)
  fc.assert(
    fc.property(percentage, percentage, fc.string({ minLength: 1 }), (one, other, salt) => {
      const [less, more] = [Math.min(one, other), Math.max(one, other)]
      const before = splitFlag([{ variant: 'red', percentage: less }], salt)
      const after = splitFlag([{ variant: 'red', percentage: more }], salt)
      for (const user of USERS.slice(0, 500))
        if (variantOf(before, user) === 'red') expect(variantOf(after, user)).toBe('red')
    }),
    { numRuns: 50 },
  )
})

test('with two shares, or more that find room at home, growth takes from nobody who has something', () => {
  const shares = fc
    .tuple(fc.nat(100), fc.nat(100), fc.nat(100), fc.nat(100))
    .filter(([a, b, c, d]) => Math.max(a, c) + Math.max(b, d) <= 100)
  const check = (before: SplitShare[], after: SplitShare[]): void => {
    const [old, grown] = [splitFlag(before), splitFlag(after)]
    for (const user of USERS.slice(0, 500)) {
      const variant = variantOf(old, user)
      if (variant !== 'rest') expect(variantOf(grown, user)).toBe(variant)
    }
  }
  const split = (...percentages: number[]): SplitShare[] =>
    percentages.map((percentage, index) => ({ variant: ['red', 'green', 'blue'][index]!, percentage }))
  fc.assert(
    fc.property(shares, ([a, b, c, d]) => {
      check(split(Math.min(a, c), Math.min(b, d)), split(Math.max(a, c), Math.max(b, d)))
    }),
    { numRuns: 50 },
  )
  // A third one comes in beside, and its neighbours grow up to it.
  check(split(10, 20), split(10, 20, 25))
  check(split(10, 20, 5), split(25, 50, 25))
})

test.each([
  { split: [['red', 10]] },
  {
    split: [
      ['red', 0.5],
      ['green', 50],
    ],
  },
  {
    split: [
      ['red', 60],
      ['green', 30],
    ],
  },
  {
    split: [
      ['red', 33.333],
      ['green', 33.333],
      ['blue', 33.334],
    ],
  },
] as { split: [string, number][] }[])('a split has the proportions it says: $split', ({ split }) => {
  const flag = splitFlag(split.map(([variant, percentage]) => ({ variant, percentage })))
  for (const [variant, percentage] of split) {
    const share = percentage / 100
    const count = USERS.filter((user) => variantOf(flag, user) === variant).length
    // Five standard deviations of a binomial count; the keys are always the same, so this passes always or never.
    const spread = 5 * Math.sqrt(USERS.length * share * (1 - share))
    expect(Math.abs(count - USERS.length * share)).toBeLessThan(spread)
  }
})

test('flags split their users independently of one another, unless they share a salt', () => {
  const half = [{ variant: 'red', percentage: 50 }]
  const [one, other, same] = [splitFlag(half, 'one'), splitFlag(half, 'other'), splitFlag(half, 'one')]
  const both = USERS.filter(
    (user) => variantOf(one, user) === 'red' && variantOf(other, user) === 'red',
  ).length
  expect(Math.abs(both - USERS.length / 4)).toBeLessThan(5 * Math.sqrt((USERS.length * 3) / 16))
  expect(USERS.every((user) => variantOf(one, user) === variantOf(same, user))).toBe(true)
})

test('evaluating makes nothing: the same object comes out, frozen to the bottom', () => {
  const flag = new CompiledFlag(
    createDefinition(
      'shape',
      { type: 'json', enabled: true, variants: { a: { deep: [1, { x: 2 }] } } },
      true,
    ),
  )
  const evaluation = flag.evaluate({ targetingKey: 'ann' })
  expect(flag.evaluate({ targetingKey: 'bob' })).toBe(evaluation)
  expect(() => {
    ;(evaluation.value as { deep: unknown[] }).deep.push(1)
  }).toThrow(TypeError)
})

test('an attribute is equal or not: nothing is converted, and nothing is inherited', () => {
  const rules = [{ attributes: { constructor: ['Object'], plan: [1] }, variant: 'on' }]
  const flag = new CompiledFlag(createDefinition('f', { enabled: true, defaultVariant: 'off', rules }, true))
  expect(flag.evaluate({ plan: 1 }).variant).toBe('off')
  const plain = new CompiledFlag(
    createDefinition(
      'f',
      { enabled: true, defaultVariant: 'off', rules: [{ attributes: { plan: [1] }, variant: 'on' }] },
      true,
    ),
  )
  expect(plain.evaluate({ plan: 1 }).variant).toBe('on')
  for (const plan of ['1', true, [1], { valueOf: () => 1 }, null, undefined, 1.0000001])
    expect(plain.evaluate({ plan }).variant).toBe('off')
})
