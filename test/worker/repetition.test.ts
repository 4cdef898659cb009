import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { repeat } from '../../src/worker/repetition.ts'

const logger = pino({ level: 'silent' })

/** How many rounds of 100 ms begin in a second and a half. */
async function rounds(options: { intervalMs: number; share?: number }): Promise<number> {
  let count = 0
  const repetition = repeat('test', options, async () => (count++, sleep(100)), logger)
  await sleep(1_500)
  await repetition.stop()
  return count
}

test('work that may only take a part of the time rests after long rounds', async () => {
  const [free, bound] = await Promise.all([rounds({ intervalMs: 1 }), rounds({ intervalMs: 1, share: 0.1 })])
  expect(free).toBeGreaterThan(5)
  expect(bound).toBeGreaterThanOrEqual(1)
  expect(bound).toBeLessThanOrEqual(2)
})

test('what is wanted now does not wait for the pause', async () => {
  let count = 0
  const work = async (): Promise<void> => {
    count++
    await sleep(50)
  }
  const repetition = repeat('test', { intervalMs: 60_000, share: 0.001 }, work, logger)
  await sleep(150)
  repetition.now()
  await repetition.stop()
  expect(count).toBe(2)
})
