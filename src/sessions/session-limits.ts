import type { Config } from '../config/profiles.ts'

/** How long sessions last, and how many there may be. */
export interface SessionLimits {
  /** Until the absolute end. */
  readonly lifetimeMs: number
  /** Without use. */
  readonly idleMs: number
  readonly rotateEveryMs: number
  /** How long the former secret is good after the new one was first used. */
  readonly graceMs: number
  /** Of one key, or of the links printed at the start. */
  readonly perKey: number
  /** How old the time of the last use may get before it is noted again, and before PostgreSQL is told where something is in front of it. */
  readonly touchEveryMs: number
  readonly noteEveryMs: number
}

const MINUTE_MS = 60_000

/** The limits of a configuration. */
export function sessionLimits(
  config: Pick<
    Config,
    'sessionHours' | 'sessionIdleMinutes' | 'sessionRotateMinutes' | 'sessionGraceSeconds' | 'sessionsPerKey'
  >,
): SessionLimits {
  const idleMs = config.sessionIdleMinutes * MINUTE_MS
  return {
    lifetimeMs: config.sessionHours * 60 * MINUTE_MS,
    idleMs,
    rotateEveryMs: config.sessionRotateMinutes * MINUTE_MS,
    graceMs: config.sessionGraceSeconds * 1_000,
    perKey: config.sessionsPerKey,
    touchEveryMs: Math.min(MINUTE_MS, idleMs / 10),
    noteEveryMs: Math.min(15 * MINUTE_MS, idleMs / 10),
  }
}
