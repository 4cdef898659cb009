/** The wish of whoever runs this process that it ends. */
export interface ShutdownWish {
  /** Resolves with the first SIGTERM, SIGINT or SIGHUP. */
  readonly told: Promise<void>
  /** Aborts with it. */
  readonly signal: AbortSignal
}

/** Listens for signals to end; a second one ends the process at once, which loses nothing that was acknowledged. */
export function untilToldToStop(): ShutdownWish {
  const controller = new AbortController()
  const told = new Promise<void>((resolve) => {
    let times = 0
    const hear = (): void => {
      times += 1
      if (times > 1) process.exit(130)
      controller.abort(new Error('told to stop'))
      resolve()
    }
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, hear)
  })
  return { told, signal: controller.signal }
}
