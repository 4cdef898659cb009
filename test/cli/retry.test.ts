import { describe, expect, it } from 'vitest'
import { retrying } from '../../src/cli/retry.ts'
import { NomalyError, type ErrorCode } from '../../src/errors.ts'

const never = new AbortController().signal

async function tries(
  code: ErrorCode,
  failures: number,
  retryAfterSeconds?: number,
): Promise<{ calls: number; waits: number[]; error?: unknown }> {
  const waits: number[] = []
  let calls = 0
  const options = {
    attempts: 4,
    signal: never,
    random: () => 0.001,
    onWait: (_: unknown, ms: number) => waits.push(ms),
  }
  try {
    await retrying(options, async () => {
      calls += 1
      if (calls <= failures)
        throw new NomalyError(code, 'away', retryAfterSeconds === undefined ? {} : { retryAfterSeconds })
    })
    return { calls, waits }
  } catch (error) {
    return { calls, waits, error }
  }
}

describe('retrying', () => {
  it('tries again after waits that grow, until it works or the attempts are used up', async () => {
    expect(await tries('unavailable', 2)).toEqual({ calls: 3, waits: [0.5, 1] })
    expect(await tries('unknown_outcome', 9)).toMatchObject({
      calls: 4,
      waits: [0.5, 1, 2],
      error: { message: 'away' },
    })
  })

  it('waits at least as long as the server asked for', async () => {
    expect(await tries('overloaded', 1, 0.01)).toEqual({ calls: 2, waits: [10.5] })
  })

  it('does not repeat what would fail again', async () => {
    expect(await tries('invalid_input', 1)).toMatchObject({
      calls: 1,
      waits: [],
      error: { code: 'invalid_input' },
    })
  })

  it('stops waiting when it is interrupted', async () => {
    const controller = new AbortController()
    const options = {
      attempts: 9,
      signal: controller.signal,
      random: () => 1,
      onWait: () => controller.abort(),
    }
    const work = retrying(options, () => Promise.reject(new NomalyError('unavailable', 'away')))
    await expect(work).rejects.toMatchObject({ name: 'AbortError' })
  })
})
