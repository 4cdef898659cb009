/** What the process answers to the shell; documented in `nomaly --help`. */
export const EXIT_CODES = {
  ok: 0,
  failed: 1,
  usage: 2,
  /** `detect --fail-on-findings` found something. */
  findings: 3,
  interrupted: 130,
} as const
