import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NomalyError } from '../../src/errors.ts'
import type { FlagRule } from '../../src/flags/flag.ts'
import { formatRule, parseRule } from '../../src/flags/rule-text.ts'
import { anyFlag } from './flag-fixture.ts'

test('a rule reads as it is written', () => {
  expect(parseRule('plan=pro,team user=ann,bob -> on')).toEqual({
    targetingKeys: ['ann', 'bob'],
    attributes: { plan: ['pro', 'team'] },
    variant: 'on',
  })
  expect(parseRule('-> 20% on, 12.5% beta')).toEqual({
    split: [
      { variant: 'on', percentage: 20 },
      { variant: 'beta', percentage: 12.5 },
    ],
  })
  expect(parseRule('level=3 beta=true code="3" name="a b" user=7 -> off')).toEqual({
    targetingKeys: ['7'],
    attributes: { level: [3], beta: [true], code: ['3'], name: ['a b'] },
    variant: 'off',
  })
})

test('every rule comes back from its line', () => {
  const value = fc.oneof(
    fc.string({ maxLength: 10 }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
  )
  const wild: fc.Arbitrary<FlagRule> = fc.record({
    targetingKeys: fc.array(fc.string({ maxLength: 10 }), { minLength: 1, maxLength: 3 }),
    attributes: fc.dictionary(
      fc.oneof(fc.constantFrom('plan', 'x.y', '->a', '->', 'user', '__proto__'), fc.string({ minLength: 1 })),
      fc.array(value, { minLength: 1, maxLength: 3 }),
      {
        minKeys: 1,
      },
    ),
    variant: fc.constantFrom('on', 'off'),
  })
  const rules = fc.oneof(
    wild,
    anyFlag.filter(({ rules: some }) => some.length > 0).map(({ rules: [rule] }) => rule!),
  )
  fc.assert(
    fc.property(rules, (rule) => {
      const { attributes = {}, ...rest } = rule
      const plain = Object.fromEntries(
        // JSON knows one zero only.
        Object.entries(attributes).map(([name, values]) => [
          name,
          values.map((each) => (each === 0 ? 0 : each)),
        ]),
      )
      const back = parseRule(formatRule(rule))
      expect(back).toEqual({ ...rest, ...(Object.keys(plain).length === 0 ? {} : { attributes: plain }) })
    }),
    { numRuns: 2_000 },
  )
})

test.each([
  'plan=pro on',
  'plan -> on',
  'plan=pro,, -> on',
  'plan="pro -> on',
  'plan=pro ->',
  '-> 20%',
  '-> 20 on, 30% off',
  '',
])('"%s" is refused with a reason', (line) => {
  expect(() => parseRule(line)).toThrow(NomalyError)
})
