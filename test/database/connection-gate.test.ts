import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ConnectionGate, type GateOptions } from '../../src/database/connection-gate.ts'
import { type Budget, BUDGETS } from '../../src/database/purpose.ts'

class Refused extends Error {
  readonly reason: string
  readonly retryAfterSeconds: number

  constructor(reason: string, retryAfterSeconds: number) {
    super(reason)
    this.reason = reason
    this.retryAfterSeconds = retryAfterSeconds
  }
}

function gate(changes: Partial<GateOptions> = {}): ConnectionGate {
  return new ConnectionGate({
    max: 20,
    maxWaiting: 100,
    timeoutMs: 30_000,
    now: () => performance.now(),
    refuse: (reason, seconds) => new Refused(reason, seconds),
    ...changes,
  })
}

async function enterAll(to: ConnectionGate, budget: Budget, count: number): Promise<(() => void)[]> {
  return Promise.all(Array.from({ length: count }, () => to.enter(budget)))
}

describe('a share', () => {
  test('is left free by the others, however many they are', async () => {
    const one = gate()
    expect(BUDGETS.map((budget) => one.roomFor(budget))).toEqual([15, 15, 12])
    await enterAll(one, 'web', 15)
    let isIn = false
    void one.enter('web').then(() => {
      isIn = true
    })
    await enterAll(one, 'work', 4)
    await enterAll(one, 'maintenance', 1)
    expect(isIn).toBe(false)
    expect(one.use.web).toMatchObject({ inUse: 15, waiting: 1 })
  })

  test('that nobody wants is nobody else’s, and what is beyond the shares is everybody’s', async () => {
    const one = gate()
    await enterAll(one, 'work', 15)
    expect(one.use.work).toMatchObject({ inUse: 15, waiting: 0 })
    await enterAll(one, 'web', 4)
    void one.enter('web')
    expect(one.use.web).toMatchObject({ inUse: 4, waiting: 1 })
  })

  test('is not cut out of a handful', async () => {
    const one = gate({ max: 2 })
    await enterAll(one, 'maintenance', 2)
    expect(one.use.maintenance.inUse).toBe(2)
  })
})

test('who came first goes first, whatever the budget', async () => {
  const one = gate({ max: 2 })
  const leave = await enterAll(one, 'web', 2)
  const order: string[] = []
  for (const budget of ['work', 'web', 'maintenance', 'web'] as const)
    void one.enter(budget).then((end) => {
      order.push(budget)
      leave.push(end)
    })
  for (let i = 0; i < 4; i++) {
    leave[i]!()
    await Promise.resolve()
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(order).toEqual(['work', 'web', 'maintenance', 'web'])
})

test('leaving twice makes no room twice', async () => {
  const one = gate({ max: 1 })
  const leave = await one.enter('web')
  leave()
  leave()
  await one.enter('web')
  let isIn = false
  void one.enter('web').then(() => {
    isIn = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  expect(isIn).toBe(false)
})

describe('refused', () => {
  test('at once is who comes when too many wait', async () => {
    const one = gate({ max: 1, maxWaiting: 2 })
    const leave = await one.enter('web')
    void one.enter('web')
    const last = one.enter('web')
    await expect(one.enter('web')).rejects.toMatchObject({ reason: 'full', retryAfterSeconds: 1 })
    // Others have a queue of their own.
    void one.enter('work')
    leave()
    expect(one.use).toMatchObject({ web: { refused: { full: 1 } }, work: { waiting: 1 } })
    expect(last).toBeInstanceOf(Promise)
  })

  test('late is who has waited as long as one may, and nobody stays behind', async () => {
    const one = gate({ max: 1, timeoutMs: 50 })
    await one.enter('web')
    await expect(one.enter('web')).rejects.toMatchObject({ reason: 'late' })
    expect(one.use.web).toMatchObject({ inUse: 1, waiting: 0, refused: { late: 1 } })
  })

  test('at once is who would wait too long, by the pace of those before', async () => {
    let nowMs = 0
    const one = gate({ max: 10, timeoutMs: 1_000, now: () => nowMs })
    const ends = await enterAll(one, 'web', one.roomFor('web'))
    const waiting: Promise<unknown>[] = []
    for (let i = 0; i < 20; i++) waiting.push(one.enter('web').then((end) => ends.push(end)))
    // A second, in which three got their turn: 21 before the next one would take about two.
    for (let i = 0; i < 3; i++) {
      nowMs += 333
      ends.shift()!()
      await new Promise((resolve) => setImmediate(resolve))
    }
    await expect(one.enter('web')).rejects.toMatchObject({ reason: 'hopeless', retryAfterSeconds: 2 })
    // Those who stay are served, and the next one is let in to the queue again.
    while (one.use.web.waiting > 0) {
      nowMs += 5
      ends.shift()!()
      await new Promise((resolve) => setImmediate(resolve))
    }
    await Promise.all(waiting)
    const last = one.enter('web')
    ends.shift()!()
    await last
  })

  test('by the signal is who gives up, and takes nobody’s place', async () => {
    const one = gate({ max: 1 })
    const leave = await one.enter('web')
    const giveUp = new AbortController()
    const first = one.enter('web', giveUp.signal)
    const second = one.enter('web')
    giveUp.abort(new Error('gone'))
    await expect(first).rejects.toThrow('gone')
    leave()
    await second
    await expect(one.enter('web', giveUp.signal)).rejects.toThrow('gone')
  })
})

test('whatever comes and goes: never too many, nobody forgotten, shares kept', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 30 }),
      fc.array(fc.record({ budget: fc.constantFrom(...BUDGETS), leaves: fc.boolean() }), { maxLength: 200 }),
      async (max, steps) => {
        const one = gate({ max, maxWaiting: 1_000 })
        const inside: Record<Budget, (() => void)[]> = { web: [], work: [], maintenance: [] }
        let waiting = 0
        for (const { budget, leaves } of steps) {
          if (leaves) inside[budget].shift()?.()
          else {
            waiting += 1
            void one.enter(budget).then((end) => {
              waiting -= 1
              inside[budget].push(end)
            })
          }
          await new Promise((resolve) => setImmediate(resolve))
          const use = one.use
          const total = BUDGETS.reduce((sum, each) => sum + use[each].inUse, 0)
          expect(total).toBeLessThanOrEqual(max)
          expect(BUDGETS.map((each) => use[each].inUse)).toEqual(BUDGETS.map((each) => inside[each].length))
          expect(BUDGETS.reduce((sum, each) => sum + use[each].waiting, 0)).toBe(waiting)
          // Who waits has what is theirs already.
          for (const each of BUDGETS)
            if (use[each].waiting > 0)
              expect(total === max || use[each].inUse >= Math.min(1, max - 1)).toBe(true)
        }
        while (waiting > 0) {
          for (const each of BUDGETS) inside[each].shift()?.()
          await new Promise((resolve) => setImmediate(resolve))
        }
      },
    ),
    { numRuns: 60 },
  )
})
