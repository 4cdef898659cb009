import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ByteBudget, type ByteLease } from '../../src/ingestion/byte-budget.ts'

const MAX_WAIT_MS = 500

/** A budget whose timers go off when told. */
function makeBudget(maxBytes: number) {
  const timers = new Map<() => void, number>()
  const budget = new ByteBudget({
    maxBytes,
    maxWaitMs: MAX_WAIT_MS,
    delay: (work, ms) => {
      timers.set(work, ms)
      return () => timers.delete(work)
    },
  })
  return { budget, timers }
}

async function isWaiting(wish: Promise<void> | undefined): Promise<boolean> {
  let isOver = wish === undefined
  void wish?.then(
    () => (isOver = true),
    () => (isOver = true),
  )
  await new Promise(setImmediate)
  return !isOver
}

test('what is free is given at once', () => {
  const { budget, timers } = makeBudget(100)
  const [a, b] = [budget.lease(), budget.lease()]
  expect(a.hold(60)).toBeUndefined()
  expect(b.hold(40)).toBeUndefined()
  expect(a.hold(10)).toBeUndefined()
  expect(budget.heldBytes).toBe(100)
  a[Symbol.dispose]()
  a[Symbol.dispose]()
  expect(budget.heldBytes).toBe(40)
  expect(timers.size).toBe(0)
})

test('the first beyond the budget goes on, the next ones wait until something is given back', async () => {
  const { budget, timers } = makeBudget(100)
  const [a, b, c] = [budget.lease(), budget.lease(), budget.lease()]
  expect(a.hold(90)).toBeUndefined()
  expect(b.hold(50)).toBeUndefined()
  const first = a.hold(95)
  const second = c.hold(1)
  expect([await isWaiting(first), await isWaiting(second)]).toEqual([true, true])
  // It alone may take what it likes.
  expect(b.hold(500)).toBeUndefined()
  expect([...timers.values()]).toEqual([MAX_WAIT_MS, MAX_WAIT_MS])
  b[Symbol.dispose]()
  expect([await isWaiting(first), await isWaiting(second)]).toEqual([false, false])
  expect(budget.heldBytes).toBe(96)
  a[Symbol.dispose]()
  c[Symbol.dispose]()
  expect(timers.size).toBe(0)
})

test('who has waited too long is refused, and those behind are served', async () => {
  const { budget, timers } = makeBudget(100)
  const [a, b, c, d] = [budget.lease(), budget.lease(), budget.lease(), budget.lease()]
  void a.hold(60)
  void b.hold(60)
  const large = c.hold(90)
  const small = d.hold(10)
  const refused = expect(large).rejects.toMatchObject({
    code: 'overloaded',
    httpStatus: 503,
    retryAfterSeconds: 2,
  })
  a[Symbol.dispose]()
  // In the order of asking: the small one would fit.
  expect(await isWaiting(small)).toBe(true)
  const [goOff] = timers.keys()
  timers.delete(goOff!)
  goOff!()
  await refused
  expect(await isWaiting(small)).toBe(false)
  expect(budget.heldBytes).toBe(70)
  d[Symbol.dispose]()
  expect(timers.size).toBe(0)
})

test('the time runs from when one first had to wait, however often a little was given since', async () => {
  const { budget, timers } = makeBudget(100)
  const [a, b, c, d] = [budget.lease(), budget.lease(), budget.lease(), budget.lease()]
  void a.hold(90)
  void b.hold(100)
  const first = c.hold(10)
  expect(await isWaiting(first)).toBe(true)
  a[Symbol.dispose]()
  expect(await isWaiting(first)).toBe(true)
  b[Symbol.dispose]()
  expect(await isWaiting(first)).toBe(false)
  void d.hold(500)
  const [goOff] = timers.keys()
  goOff!()
  // Reading, it is not disturbed; only it does not wait any more.
  await expect(c.hold(60)).rejects.toMatchObject({ code: 'overloaded' })
  d[Symbol.dispose]()
  expect(c.hold(60)).toBeUndefined()
})

test('who ends while he waits is no longer in anybody’s way', async () => {
  const { budget, timers } = makeBudget(100)
  const [a, b, c] = [budget.lease(), budget.lease(), budget.lease()]
  void a.hold(100)
  void b.hold(100)
  const abandoned = c.hold(100)
  const ended = expect(abandoned).rejects.toThrow(/not wanted/)
  c[Symbol.dispose]()
  await ended
  expect(c.hold(1000)).toBeUndefined()
  expect(budget.heldBytes).toBe(200)
  expect(timers.size).toBe(0)
})

test('never more is held than the budget and one input, and all come to their end', async () => {
  const inputs = fc.array(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 5 }), {
    minLength: 1,
    maxLength: 30,
  })
  await fc.assert(
    fc.asyncProperty(inputs, fc.infiniteStream(fc.nat({ max: 2 })), async (all, pauses) => {
      const { budget, timers } = makeBudget(100)
      let most = 0
      const read = async (steps: readonly number[], lease: ByteLease): Promise<void> => {
        let total = 0
        for (const step of steps) {
          total += step
          await lease.hold(total)
          most = Math.max(most, budget.heldBytes)
          for (let turn = pauses.next().value!; turn > 0; turn--) await new Promise(setImmediate)
        }
        lease[Symbol.dispose]()
      }
      await Promise.all(all.map((steps) => read(steps, budget.lease())))
      const largest = Math.max(...all.map((steps) => steps.reduce((a, b) => a + b)))
      expect(most).toBeLessThanOrEqual(100 + largest)
      expect(budget.heldBytes).toBe(0)
      expect(timers.size).toBe(0)
    }),
    { seed: 1, numRuns: 100 },
  )
})
