import type { Outcome, WorldOptions } from './world-options.ts'
import { World } from './world.ts'

/** Runs a world of its own for each seed, so many steps in all, and puts together what they found. */
export async function explore(
  options: Omit<WorldOptions, 'seed' | 'steps'>,
  { seed, steps, stepsEach = 1_000 }: { seed: number; steps: number; stepsEach?: number },
): Promise<Outcome & { seeds: number[] }> {
  const outcomes: Outcome[] = []
  const seeds: number[] = []
  for (let done = 0; done < steps; done += stepsEach) {
    const outcome = await new World({
      ...options,
      seed: seed + outcomes.length,
      steps: Math.min(stepsEach, steps - done),
    }).run()
    if (outcome.stale.length > 0) seeds.push(seed + outcomes.length)
    outcomes.push(outcome)
  }
  const sum = (of: (outcome: Outcome) => number): number =>
    outcomes.reduce((total, each) => total + of(each), 0)
  return {
    stale: outcomes.flatMap(({ stale }) => stale),
    reads: sum(({ reads }) => reads),
    hits: sum(({ hits }) => hits),
    commits: sum(({ commits }) => commits),
    standbyReads: sum(({ standbyReads }) => standbyReads),
    seeds,
  }
}
