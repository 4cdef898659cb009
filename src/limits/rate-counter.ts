/** For how long uses are counted together, in seconds; a window begins with its first use. */
export const RATE_WINDOW_SECONDS = 60

/** How much of its window a key has used, this use included. */
export interface WindowUse {
  readonly used: number
  /** When the window ends. */
  readonly resetMs: number
}

/** Counts uses by key in windows of {@link RATE_WINDOW_SECONDS}. Never fails: what cannot be shared is counted in this process. */
export interface RateCounter {
  count(key: string): Promise<WindowUse>
}
