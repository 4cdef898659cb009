import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { RATE_WINDOW_SECONDS, type RateCounter } from '../../src/limits/rate-counter.ts'

/** What every counter does, wherever it keeps its counts. @param open a counter; called anew it counts beside the first where they share. */
export function describeRateCounter(name: string, open: () => Promise<RateCounter>): void {
  describe(`a rate counter in ${name}`, () => {
    it('counts the uses of a key, each once, from one', async () => {
      const counter = await open()
      const key = `reads:key:${randomUUID()}`
      const uses = await Promise.all(Array.from({ length: 200 }, () => counter.count(key)))
      expect(uses.map(({ used }) => used).toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: 200 }, (_, at) => at + 1),
      )
    })

    it('keeps keys apart, also where one begins as another or holds odd characters', async () => {
      const counter = await open()
      const base = randomUUID()
      for (const key of [base, `${base}:`, `${base}:a`, `failures:${base}::/64`, `{${base}}`, `${base} \n*`])
        expect((await counter.count(key)).used, JSON.stringify(key)).toBe(1)
    })

    it('says when the window ends: it began with the first use, and later ones do not prolong it', async () => {
      const counter = await open()
      const key = randomUUID()
      const first = await counter.count(key)
      expect(first.resetMs).toBeGreaterThan((RATE_WINDOW_SECONDS - 2) * 1000)
      expect(first.resetMs).toBeLessThanOrEqual(RATE_WINDOW_SECONDS * 1000)
      await new Promise((resolve) => setTimeout(resolve, 50))
      expect((await counter.count(key)).resetMs).toBeLessThanOrEqual(first.resetMs - 40)
    })
  })
}
