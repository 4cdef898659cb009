import { integer, type Option } from './option.ts'

/** For how long browsers are signed in, and how many. */
export const SESSION_OPTIONS = {
  sessions: {
    env: 'NOMALY_SESSIONS',
    kind: { type: 'choice', choices: ['auto', 'redis', 'postgres'] },
    fallback: 'auto',
    description:
      'Whether copies of the sessions of browsers are kept in Redis, for look-ups that do without PostgreSQL. `auto` does so where REDIS_URL is set.',
  } as Option<'auto' | 'redis' | 'postgres'>,
  sessionHours: integer(
    'NOMALY_SESSION_HOURS',
    720,
    [1, 8_760],
    'hours',
    'How long a browser stays signed in at most, however much it is used.',
  ),
  sessionIdleMinutes: integer(
    'NOMALY_SESSION_IDLE_MINUTES',
    10_080,
    [5, 525_600],
    'minutes',
    'How long a browser stays signed in without being used, to a tenth of it or a quarter of an hour, whichever is less.',
  ),
  sessionRotateMinutes: integer(
    'NOMALY_SESSION_ROTATE_MINUTES',
    15,
    [1, 1_440],
    'minutes',
    'How often the secret in the cookie of a browser that is used is made anew.',
  ),
  sessionGraceSeconds: integer(
    'NOMALY_SESSION_GRACE_SECONDS',
    60,
    [10, 600],
    's',
    'How long the former secret is accepted once the new one was used, for requests that were on their way. Later its use ends the session, as theft.',
  ),
  sessionsPerKey: integer(
    'NOMALY_SESSIONS_PER_KEY',
    5,
    [1, 1_000],
    'sessions',
    'How many browsers may be signed in by links of one API key, or by the links printed at the start; one more ends the oldest.',
  ),
} as const
