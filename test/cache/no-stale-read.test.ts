import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { explore } from './explore.ts'
import { WANTING } from './wanting.ts'
import { World } from './world.ts'

/** Of each of the product's ways; those that are wrong get as many as it takes. */
const STEPS = process.env['NOMALY_TEST_SCENARIOS'] === '1' ? 100_000 : 2_000
const STEPS_OF_WORLD = 1_000
/** In calm worlds much is answered from the cache, in stormy ones everything happens at once. */
const WEATHERS = [0.005, 0.03]
/** The most subtle of what is wrong is found within some ten thousand. */
const MOST_STEPS = 2_000_000

describe('no read answers what an acknowledged commit replaced', () => {
  const ways = ['redis', 'memory', 'memory of several'] as const
  test.for(ways)('%s', { timeout: 300_000 }, async (store) => {
    const total = { worlds: 0, reads: 0, hits: 0, commits: 0, standbyReads: 0 }
    const worlds = fc.asyncProperty(fc.nat(), async (seed) => {
      const disturbShare = WEATHERS[total.worlds++ % WEATHERS.length]!
      const world = new World({ seed, store, steps: STEPS_OF_WORLD, disturbShare })
      const { stale, reads, hits, commits, standbyReads } = await world.run()
      total.reads += reads
      total.hits += hits
      total.commits += commits
      total.standbyReads += standbyReads
      expect(stale, `disturbed by ${disturbShare}`).toEqual([])
    })
    await fc.assert(worlds, { numRuns: STEPS / STEPS_OF_WORLD, endOnFailure: true })
    // A cache that never answers would show nothing, and a short run may meet nothing but storms: then it goes on for a while.
    for (let more = 0; total.hits < STEPS / 200 && more < 20; more++)
      await fc.assert(worlds, { numRuns: 2, endOnFailure: true })
    expect(total.hits).toBeGreaterThanOrEqual(STEPS / 200)
    expect(total.reads).toBeGreaterThan(STEPS / 25)
    expect(total.commits).toBeGreaterThan(0)
    // And so it would without standbys.
    expect(total.standbyReads).toBeGreaterThan(0)
  })
})

describe('the same harness finds what is wrong', () => {
  test.for(Object.entries(WANTING))('%s', { timeout: 300_000 }, async ([, variant]) => {
    let found = 0
    for (let steps = 0; steps < MOST_STEPS && found === 0; steps += 5_000) {
      const size = { seed: 1 + steps, steps: 5_000 }
      found = (await explore({ store: 'redis', ...variant }, size)).stale.length
    }
    expect(found).toBeGreaterThan(0)
  })
})
