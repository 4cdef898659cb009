export interface WatchOptions {
  readonly random: () => number
  /** Resolves after so many milliseconds, or at once when aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
}

export interface Watched {
  ask(): Promise<void>
  onFailure(error: unknown): void
  /** Whether somebody waits for the next answer. */
  isUrgent(): boolean
}

/** Asks a server over and over. */
export interface Watch extends AsyncDisposable {
  /** Asks at once, unless it is being asked. */
  hurry(): void
}

/** From 100 to 250 ms apart, so that the processes of an installation do not all ask at the same time. */
const MIN_PAUSE_MS = 100
const PAUSE_SPREAD_MS = 150
const MAX_PAUSE_MS = 5_000
const URGENT_PAUSE_MS = 1
const MAX_URGENT_PAUSE_MS = 10

/** Asks a server every 100 to 250 ms, every few where somebody waits, and less and less often while it fails. */
export function watch({ random, sleep }: WatchOptions, watched: Watched): Watch {
  let napping = new AbortController()
  let isOver = false
  const run = async (): Promise<void> => {
    let failures = 0
    let urgentMs = URGENT_PAUSE_MS
    while (!isOver) {
      try {
        await watched.ask()
        failures = 0
      } catch (error) {
        failures++
        watched.onFailure(error)
      }
      const isUrgent = failures === 0 && watched.isUrgent()
      urgentMs = isUrgent ? Math.min(MAX_URGENT_PAUSE_MS, urgentMs * 1.5) : URGENT_PAUSE_MS
      const pauseMs = (MIN_PAUSE_MS + random() * PAUSE_SPREAD_MS) * 2 ** Math.min(failures, 10)
      if (isOver) return
      napping = new AbortController()
      await sleep(isUrgent ? urgentMs : Math.min(MAX_PAUSE_MS, pauseMs), napping.signal)
    }
  }
  const running = run()
  return {
    hurry: () => napping.abort(),
    [Symbol.asyncDispose]: async () => {
      isOver = true
      napping.abort()
      await running
    },
  }
}
