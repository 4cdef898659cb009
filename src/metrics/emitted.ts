/** Thrown inside the work when its reader has gone: it unwinds, and is reported to nobody. */
class ReaderGone extends Error {}

/**
 * Turns work that hands out items one after the other into a generator. The work runs one item ahead of its reader, and is
 * over, its resources released, when the reader stops early, by `break`, by an error or by the signal.
 */
export async function* emitted<T>(
  signal: AbortSignal | undefined,
  work: (emit: (item: T) => Promise<void>) => Promise<void>,
): AsyncGenerator<T, void, void> {
  let offer:
    | { readonly item: T; readonly take: () => void; readonly refuse: (reason: Error) => void }
    | undefined
  let isReaderGone = false
  let outcome: { readonly error?: unknown } | undefined
  let wake = (): void => {}
  const emit = (item: T): Promise<void> =>
    isReaderGone
      ? Promise.reject(new ReaderGone())
      : new Promise((take, refuse) => {
          offer = { item, take, refuse }
          wake()
        })
  const running = work(emit).then(
    () => (outcome = {}),
    (error: unknown) => (outcome = { error }),
  )
  void running.then(() => wake())
  try {
    for (;;) {
      if (offer === undefined && outcome === undefined) await new Promise<void>((resolve) => (wake = resolve))
      // What was made ahead is not handed out any more.
      signal?.throwIfAborted()
      if (offer !== undefined) {
        const { item, take } = offer
        offer = undefined
        take()
        yield item
      } else {
        if (outcome !== undefined && 'error' in outcome) throw outcome.error
        return
      }
    }
  } finally {
    isReaderGone = true
    offer?.refuse(new ReaderGone())
    await running
  }
}
