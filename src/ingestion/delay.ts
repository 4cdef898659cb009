/** Calls `work` after so many milliseconds, unless what it answers is called before. */
export type Delay = (work: () => void, ms: number) => () => void

/** By the system's timer. */
export const systemDelay: Delay = (work, ms) => {
  const timer = setTimeout(work, ms)
  return () => clearTimeout(timer)
}
