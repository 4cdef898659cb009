import fc from 'fast-check'
import { expect, test } from 'vitest'

import { Breaker } from '../../src/redis/breaker.ts'

const SETTINGS = { failures: 3, windowMs: 1_000, firstProbeMs: 100, lastProbeMs: 800 }

test('opens by the third failure within the window, and says so once', () => {
  let now = 0
  const breaker = new Breaker(SETTINGS, () => now)
  expect([breaker.fail(), breaker.fail(), breaker.isOpen]).toEqual([false, false, false])
  expect([breaker.fail(), breaker.isOpen, breaker.fail()]).toEqual([true, true, false])
  breaker.close()
  expect(breaker.isOpen).toBe(false)
  expect(breaker.fail()).toBe(false)
  now = 1_000
  expect([breaker.fail(), breaker.fail(), breaker.fail()]).toEqual([false, false, true])
})

test('failures far apart never open it, whatever their number', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 500, max: 5_000 }), { maxLength: 50 }), (gaps) => {
      let now = 0
      const breaker = new Breaker(SETTINGS, () => now)
      for (const gap of gaps) {
        now += gap
        breaker.fail()
      }
      expect(breaker.isOpen).toBe(false)
    }),
  )
})

test('probes less and less often, and often again after it was closed for long', () => {
  let now = 0
  const breaker = new Breaker(SETTINGS, () => now)
  breaker.open()
  expect([1, 2, 3, 4, 5].map(() => breaker.nextProbeMs())).toEqual([100, 200, 400, 800, 800])
  breaker.close()
  now = 1_000
  breaker.open()
  expect(breaker.nextProbeMs()).toBe(800)
  breaker.close()
  now = 3_000
  breaker.open()
  expect(breaker.nextProbeMs()).toBe(100)
})
