/** Calls a listener. What it throws is logged, and must not reach the driver, which would take it for a broken connection. */
export function guard(log: (message: string) => void, listener: () => void): void {
  try {
    listener()
  } catch (error) {
    log(`A listener of Redis failed: ${(error as Error).message}`)
  }
}
