/** Waits for work, or for the deadline: a cluster that takes no writes any more holds up whoever waits for one. */
export async function untilDeadline(deadline: AbortSignal, work: () => Promise<void>): Promise<void> {
  if (deadline.aborted) return
  const late = new Promise<void>((resolve) =>
    deadline.addEventListener('abort', () => resolve(), { once: true }),
  )
  await Promise.race([work(), late])
}
