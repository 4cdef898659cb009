import { setImmediate as afterReading, setTimeout as sleep } from 'node:timers/promises'

/** Rejects when it takes longer, or is no longer wanted. What was begun is not ended by that. */
export async function within<T>(work: Promise<T>, timeoutMs: number, signal?: AbortSignal): Promise<T> {
  const over = new AbortController()
  const stop = signal === undefined ? over.signal : AbortSignal.any([over.signal, signal])
  work.catch(() => {})
  try {
    return await Promise.race([
      work,
      sleep(timeoutMs, undefined, { signal: stop }).then(async () => {
        // What arrived while this process was busy with something else is not late.
        await afterReading()
        throw new Error(`no answer within ${timeoutMs} ms`)
      }),
    ])
  } finally {
    over.abort()
  }
}
