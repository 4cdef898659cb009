import type { Config } from '../../config/profiles.ts'
import type { ExaminedDatabase, ExaminedServer } from './examined-database.ts'
import type { ExaminedRedis } from './examined-redis.ts'

/** `ok`, `warn`: it works, and will not for long or not well; `fail`: something that was promised does not hold. */
export type Verdict = 'ok' | 'warn' | 'fail'

/** What a check has found. */
export interface Finding {
  readonly verdict: Verdict
  /** What is so, with its numbers. */
  readonly says: string
  /** What follows from it; of what is not ok. */
  readonly means?: string
  /** What to do about it; of what is not ok. */
  readonly todo?: string
  /** Numbers for programs. */
  readonly facts?: Readonly<Record<string, unknown>>
}

/** What every check may look at beside its subject. */
export interface Surroundings {
  readonly config: Config
  /** Milliseconds since 1970. */
  readonly clock: () => number
  /** How many processes of the installation to reckon with; `undefined` for those that are connected. */
  readonly processes: number | undefined
  /** Files that hold secrets, by the variable that names them. */
  readonly secretFiles: readonly { readonly variable: string; readonly path: string }[]
}

interface CheckText {
  /** One lower-case word, or some with hyphens: stays the same for ever. */
  readonly name: string
  /** What it looks at, for the reference. */
  readonly looksAt: string
  /** Why that matters, for the reference. */
  readonly why: string
}

/** One thing to look at. Answers nothing where it does not apply, and throws where it cannot look. */
export type Check = CheckText &
  (
    | { readonly on: 'machine'; examine(surroundings: Surroundings): Promise<Finding[]> }
    | {
        readonly on: 'database'
        examine(database: ExaminedDatabase, surroundings: Surroundings): Promise<Finding[]>
      }
    | {
        /** Once for core and metrics where both are on it. */
        readonly on: 'server'
        examine(server: ExaminedServer, surroundings: Surroundings): Promise<Finding[]>
      }
    | { readonly on: 'redis'; examine(redis: ExaminedRedis, surroundings: Surroundings): Promise<Finding[]> }
  )

export function ok(says: string, facts?: Finding['facts']): Finding {
  return { verdict: 'ok', says, ...(facts && { facts }) }
}

export function warn(says: string, means: string, todo: string, facts?: Finding['facts']): Finding {
  return { verdict: 'warn', says, means, todo, ...(facts && { facts }) }
}

export function fail(says: string, means: string, todo: string, facts?: Finding['facts']): Finding {
  return { verdict: 'fail', says, means, todo, ...(facts && { facts }) }
}

/** Of what the login may not see: that nothing was found would be a lie. */
export function hidden(what: string): Finding {
  return warn(
    `This login may not see ${what}.`,
    'Whether something is wrong here is not known.',
    'Set ADMIN_DATABASE_URL (METRICS_ADMIN_DATABASE_URL), or `grant pg_monitor` to this login.',
  )
}
