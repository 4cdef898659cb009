import { EXIT_CODES } from './exit-codes.ts'

/**
 * Runs work with a signal that Ctrl-C or SIGTERM aborts, so that it can finish tidily; a second Ctrl-C ends the process
 * at once. Sets exit code 130 when it was interrupted.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(EXIT_CODES.interrupted)
    process.exitCode = EXIT_CODES.interrupted
    controller.abort()
  }
  process.on('SIGINT', stop).on('SIGTERM', stop)
  try {
    return await work(controller.signal)
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
  }
}
