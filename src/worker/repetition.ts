import type { Logger } from '../telemetry/logger.ts'

/** Work that comes round by the clock, never twice at once. */
export interface Repetition {
  /** Does it now, or once more where it is being done. */
  now(): void
  /** Ends it, after the round that is under way. */
  stop(): Promise<void>
}

/** The longest pause that a long round brings. */
const LONGEST_REST_MS = 300_000

/**
 * Repeats work: at once, then `intervalMs` after each round, with a tenth of chance so that processes spread; later where the round took long
 * and work may only take a `share` of the time. Errors are logged.
 */
export function repeat(
  name: string,
  { intervalMs, share = 1 }: { readonly intervalMs: number; readonly share?: number },
  work: () => Promise<unknown>,
  logger: Logger,
): Repetition {
  let timer: NodeJS.Timeout | undefined
  let round: Promise<void> | undefined
  let again = false
  let isStopped = false

  const run = async (): Promise<void> => {
    const startedAt = performance.now()
    do {
      again = false
      try {
        await work()
      } catch (error) {
        if (!isStopped) logger.warn({ err: error, repetition: name }, 'a repeated task failed')
      }
    } while (again && !isStopped)
    round = undefined
    const restMs = (performance.now() - startedAt) * (1 / share - 1)
    const pauseMs = Math.max(intervalMs, Math.min(restMs, LONGEST_REST_MS))
    if (!isStopped) timer = setTimeout(start, pauseMs * (0.95 + 0.1 * Math.random())).unref()
  }
  const start = (): void => {
    clearTimeout(timer)
    round ??= run()
  }
  start()
  return {
    now: () => {
      if (isStopped) return
      if (round === undefined) start()
      else again = true
    },
    stop: async () => {
      isStopped = true
      clearTimeout(timer)
      await round
    },
  }
}
