import { setTimeout as sleep } from 'node:timers/promises'

/** Items as they come, and `undefined` once whenever none came for `pauseMs`; without it just the items. */
export async function* withPauses<T>(
  source: AsyncGenerator<T>,
  pauseMs: number | undefined,
): AsyncGenerator<T | undefined> {
  if (pauseMs === undefined) {
    yield* source
    return
  }
  try {
    for (;;) {
      const next = source.next()
      const timer = new AbortController()
      const pause = sleep(pauseMs, 'pause' as const, { signal: timer.signal }).catch(() => 'pause' as const)
      const first = await Promise.race([next, pause])
      timer.abort()
      if (first === 'pause') yield undefined
      const { value, done } = await next
      if (done === true) return
      yield value
    }
  } finally {
    await source.return(undefined)
  }
}
