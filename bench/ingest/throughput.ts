/** How fast `work` gets through so many points. */
export async function pointsPerSecond(points: number, work: () => Promise<void>): Promise<number> {
  const start = performance.now()
  await work()
  return (points * 1000) / (performance.now() - start)
}

/** Sends every body, `concurrency` at a time. */
export async function sendAll(
  bodies: readonly Buffer[],
  concurrency: number,
  send: (body: Buffer) => Promise<void>,
): Promise<void> {
  let next = 0
  const sender = async (): Promise<void> => {
    for (let at = next++; at < bodies.length; at = next++) await send(bodies[at]!)
  }
  await Promise.all(Array.from({ length: concurrency }, sender))
}
