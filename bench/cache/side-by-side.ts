import { median } from '../checks.ts'

/** Something to be timed: what is done so many times in a row, one after the other. */
export interface Timed {
  readonly times: number
  readonly work: () => Promise<unknown>
}

/** What each costs once, in ms: the median of rounds in which they take turns, so that what others do on the machine meets all alike. */
export async function sideBySide(rounds: number, timed: readonly Timed[]): Promise<number[]> {
  for (const each of timed) await timeOnce(each)
  const costs: number[][] = timed.map(() => [])
  for (let round = 0; round < rounds; round++)
    for (const [index, each] of timed.entries()) costs[index]!.push(await timeOnce(each))
  return costs.map(median)
}

async function timeOnce({ times, work }: Timed): Promise<number> {
  const startedAt = performance.now()
  for (let time = 0; time < times; time++) await work()
  return (performance.now() - startedAt) / times
}
