import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { WANTING } from './wanting.ts'
import { explore } from './explore.ts'
import { World } from './world.ts'

/** Of each of the product's ways; those that are wrong get as many as it takes. */
const STEPS = process.env['NOMALY_TEST_SCENARIOS'] === '1' ? 100_000 : 2_000
const STEPS_OF_WORLD = 1_000
/** The most subtle of what is wrong is found within some ten thousand. */
const MOST_STEPS = 2_000_000

describe('no read answers what an acknowledged commit replaced', () => {
  test.for(['redis', 'memory', 'memory of several'] as const)('%s', { timeout: 300_000 }, async (store) => {
    const total = { reads: 0, hits: 0, commits: 0 }
    const worlds = fc.asyncProperty(fc.nat(), async (seed) => {
      const { stale, reads, hits, commits } = await new World({ seed, store, steps: STEPS_OF_WORLD }).run()
      total.reads += reads
      total.hits += hits
      total.commits += commits
      expect(stale).toEqual([])
    })
    await fc.assert(worlds, { numRuns: STEPS / STEPS_OF_WORLD, endOnFailure: true })
    // Nothing would be shown by a cache that never answers, nor by a database that never changes.
    expect(total.reads).toBeGreaterThan(STEPS / 25)
    expect(total.hits).toBeGreaterThan(STEPS / 400)
    expect(total.commits).toBeGreaterThan(STEPS / 1_000)
  })
})

describe('the same harness finds what is wrong', () => {
  test.for(Object.entries(WANTING))('%s', { timeout: 300_000 }, async ([, variant]) => {
    let found = 0
    for (let steps = 0; steps < MOST_STEPS && found === 0; steps += 5_000)
      found = (await explore({ store: 'redis', ...variant }, { seed: 1 + steps, steps: 5_000 })).stale.length
    expect(found).toBeGreaterThan(0)
  })
})
