import { setTimeout as sleep } from 'node:timers/promises'
import { ROLES } from '../access/roles.ts'
import { formatPosition, parsePosition, type Position } from '../database/position.ts'
import type { Redis, RedisCommands } from '../redis/connection.ts'
import type { FoundSession, Session, SessionStore } from './session-store.ts'
import type { SessionTable } from './session-table.ts'

export interface RedisSessionsOptions {
  readonly redis: Redis
  /** What all keys begin with. */
  readonly prefix: string
  readonly table: SessionTable
  /** How long a copy may serve before PostgreSQL is asked again. */
  readonly copyMs: number
  /** How old the time of the last use may get in PostgreSQL. */
  readonly noteEveryMs: number
  readonly now: () => number
}

/**
 * Puts a copy: the run id of the server that it is given to, a line feed, and the session. `NX`: unless there is one. `XX`: only where there is
 * one, so that none comes back that was let go. What another server was given is none.
 */
const PUT = `
  local known = redis.call('get', KEYS[1])
  local isOurs = known and string.sub(known, 1, #ARGV[2] + 1) == ARGV[2] .. '\\n'
  if (ARGV[1] == 'NX') == (isOurs and true or false) then return 0 end
  redis.call('set', KEYS[1], ARGV[2] .. '\\n' .. ARGV[3], 'PX', ARGV[4])
  return 1`
/**
 * Keeps where a write stands, unless a later one of the same timeline is known. What another server was given is let go, since that one may
 * have lost what came after. Logs are compared by their two hexadecimal halves.
 */
const KEEP_POSITION = `
  if redis.call('hget', KEYS[1], 'run') ~= ARGV[1] then
    redis.call('del', KEYS[1])
    redis.call('hset', KEYS[1], 'run', ARGV[1])
  end
  local known = redis.call('hget', KEYS[1], ARGV[2])
  if known then
    local timeline, high, low = string.match(known, '^%d+%.(%d+)%.(%x+)/(%x+)$')
    local newTimeline, newHigh, newLow = string.match(ARGV[3], '^%d+%.(%d+)%.(%x+)/(%x+)$')
    high, low, newHigh, newLow = tonumber(high, 16), tonumber(low, 16), tonumber(newHigh, 16), tonumber(newLow, 16)
    if timeline == newTimeline and (high > newHigh or (high == newHigh and low >= newLow)) then return 0 end
  end
  redis.call('hset', KEYS[1], ARGV[2], ARGV[3])
  redis.call('pexpire', KEYS[1], ARGV[4])
  return 1`
const RETRIES = 6

/**
 * Sessions with a copy in Redis: look-ups, the time of the last use and positions do without PostgreSQL. A copy counts only on the server that
 * it was given to: one that was restarted, promoted or filled from a dump begins with none.
 */
export class RedisSessions implements SessionStore {
  readonly name = 'redis'
  readonly #options: RedisSessionsOptions

  constructor(options: RedisSessionsOptions) {
    this.#options = options
  }

  async find(secretHash: Buffer): Promise<FoundSession | undefined> {
    const copy = await this.#read(secretHash)
    // Only the newest secret has one, from when PostgreSQL knows that it was used.
    if (copy !== undefined) return { session: copy, secret: 'current', confirmedAtMs: copy.rotatedAtMs }
    const found = await this.#options.table.find(secretHash)
    // A former secret is looked up in PostgreSQL each time: that it is used at all is rare, and may be theft.
    if (found?.secret === 'current') await this.#put(secretHash, found.session, 'NX')
    return found
  }

  async touch(secretHash: Buffer, session: Session): Promise<void> {
    const isNoted = session.seenAtMs - session.notedAtMs < this.#options.noteEveryMs
    if (isNoted && (await this.#put(secretHash, session, 'XX'))) return
    await this.#options.table.noteUse(session)
    await this.#put(secretHash, { ...session, notedAtMs: session.seenAtMs }, 'XX')
  }

  async forget(secretHashes: readonly Buffer[]): Promise<void> {
    for (const hash of secretHashes) await this.#try((client) => client.del(this.#key(hash)))
  }

  /** Where Redis cannot be told, it is tried again for a while: until then other processes may not know of the write. */
  async keepPosition(session: Session, position: Position): Promise<void> {
    if (await this.#keep(session, position)) return
    void this.#keepLater(session, position)
  }

  async positions(session: Session): Promise<readonly Position[]> {
    const { redis } = this.#options
    let run = ''
    const fields = await this.#try((client) => {
      run = redis.runId
      return client.hGetAll(this.#positionsKey(session))
    })
    if (fields === undefined || fields['run'] !== run) return []
    return Object.values(fields).flatMap((text) => parsePosition(text) ?? [])
  }

  async #read(secretHash: Buffer): Promise<Session | undefined> {
    const { redis } = this.#options
    let run = ''
    const text = await this.#try((client) => {
      run = redis.runId
      return client.get(this.#key(secretHash))
    })
    return text?.startsWith(`${run}\n`) === true ? parseSession(text.slice(run.length + 1)) : undefined
  }

  /** Answers whether Redis did as it was told. */
  async #put(secretHash: Buffer, session: Session, condition: 'NX' | 'XX'): Promise<boolean> {
    const { redis, copyMs, now } = this.#options
    const ttlMs = Math.ceil(Math.min(copyMs, session.expiresAtMs - now()))
    if (ttlMs < 1) return true
    const done = await this.#try((client) =>
      client.eval(PUT, {
        keys: [this.#key(secretHash)],
        arguments: [condition, redis.runId, JSON.stringify(session), String(ttlMs)],
      }),
    )
    return done !== undefined
  }

  async #keep(session: Session, position: Position): Promise<boolean> {
    const { redis, now } = this.#options
    const done = await this.#try((client) =>
      client.eval(KEEP_POSITION, {
        keys: [this.#positionsKey(session)],
        arguments: [
          redis.runId,
          position.systemId,
          formatPosition(position),
          String(Math.max(1, Math.ceil(session.expiresAtMs - now()))),
        ],
      }),
    )
    return done !== undefined
  }

  async #keepLater(session: Session, position: Position): Promise<void> {
    for (let attempt = 0; attempt < RETRIES; attempt++) {
      await sleep(500 * 2 ** attempt, undefined, { ref: false })
      if (await this.#keep(session, position)) return
    }
  }

  /** `undefined` where Redis is away or refuses: PostgreSQL is asked instead. */
  async #try<T>(work: (client: RedisCommands) => Promise<T>): Promise<T | undefined> {
    try {
      return await this.#options.redis.command(work)
    } catch {
      return undefined
    }
  }

  #key(secretHash: Buffer): string {
    return `${this.#options.prefix}session:${secretHash.toString('base64url')}`
  }

  #positionsKey({ id }: Session): string {
    return `${this.#options.prefix}session-positions:${id}`
  }
}

const FIELDS = {
  id: 'string',
  number: 'number',
  tenantId: 'string',
  tenantName: 'string',
  createdAtMs: 'number',
  seenAtMs: 'number',
  notedAtMs: 'number',
  expiresAtMs: 'number',
  generation: 'number',
  rotatedAtMs: 'number',
} as const

/** `undefined` for what another version of the product, or somebody else, has written. */
function parseSession(text: string): Session | undefined {
  try {
    const value = JSON.parse(text) as Partial<Record<keyof Session, unknown>> | null
    const isWhole =
      value !== null &&
      Object.entries(FIELDS).every(([name, type]) => typeof value[name as keyof Session] === type) &&
      (value.keyId === undefined || typeof value.keyId === 'string') &&
      (ROLES as readonly unknown[]).includes(value.role)
    return isWhole ? (value as Session) : undefined
  } catch {
    return undefined
  }
}
