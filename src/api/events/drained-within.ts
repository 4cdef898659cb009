import type { Writable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'

/** Waits until a stream has passed on what it held, is closed, or the time is over. @returns whether it has passed everything on. */
export async function drainedWithin(
  stream: Pick<Writable, 'once' | 'off' | 'writableNeedDrain' | 'destroyed'>,
  timeoutMs: number,
): Promise<boolean> {
  // Whoever asks again at once must not keep it from getting on.
  await nextTurn()
  if (stream.destroyed) return false
  if (!stream.writableNeedDrain) return true
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const drained = (): void => resolve(true)
  const over = (): void => resolve(false)
  const timer = setTimeout(over, timeoutMs).unref()
  stream.once('drain', drained).once('close', over)
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    stream.off('drain', drained).off('close', over)
  }
}
