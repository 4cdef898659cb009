/** How long to wait before the next attempt to connect. Jittered, so that the processes of an installation do not all come back at once; two seconds at most. */
export function backoffMs(attempt: number): number {
  return Math.min(2_000, 25 * 2 ** Math.min(attempt, 10)) * (0.5 + Math.random() / 2)
}
