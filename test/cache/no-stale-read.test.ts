import { describe, expect, test } from 'vitest'
import { WANTING } from './wanting.ts'
import { explore } from './world.ts'

const IS_LONG = process.env['NOMALY_TEST_SCENARIOS'] === '1'
/** Of each of the product's ways; those that are wrong get as many as it takes. */
const STEPS = IS_LONG ? 100_000 : 2_000
/** Until what is wrong is found, which takes the most subtle of them some ten thousand. */
const MOST_STEPS = 400_000
const SEED = Number(process.env['NOMALY_TEST_SEED'] ?? 1)

describe('no read answers what an acknowledged commit replaced', () => {
  test.for(['redis', 'memory', 'memory of several'] as const)('%s', { timeout: 300_000 }, async (store) => {
    const { stale, seeds, reads, hits, commits } = await explore({ store }, { seed: SEED, steps: STEPS })
    expect(stale, `seeds ${seeds.join(', ')}`).toEqual([])
    // Nothing would be shown by a cache that never answers.
    expect(reads).toBeGreaterThan(STEPS / 20)
    expect(hits).toBeGreaterThan(STEPS / 200)
    expect(commits).toBeGreaterThan(STEPS / 200)
  })
})

describe('the same harness finds what is wrong', () => {
  test.for(Object.entries(WANTING))('%s', { timeout: 300_000 }, async ([, variant]) => {
    let found = 0
    for (let steps = 0; steps < MOST_STEPS && found === 0; steps += 5_000)
      found = (await explore({ store: 'redis', ...variant }, { seed: SEED + steps, steps: 5_000 })).stale
        .length
    expect(found).toBeGreaterThan(0)
  })
})
