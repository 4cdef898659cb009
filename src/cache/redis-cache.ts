import { hash, randomBytes } from 'node:crypto'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { Position } from '../database/position.ts'
import type { Redis, RedisCommands, RedisTracking } from '../redis/connection.ts'
import { RedisUnavailable } from '../redis/unavailable.ts'
import type { CacheStore, LoadRight, Look, Watch } from './cache-store.ts'
import { type Floor, floorPosition, isFloorPosition, parseFloorPosition } from './floor.ts'
import { CACHE_SCRIPTS, type CacheScript } from './redis-cache-scripts.ts'
import { RedisFloorWatch } from './redis-floor-watch.ts'

export interface RedisCacheOptions {
  readonly redis: Redis
  /** What all keys begin with. */
  readonly prefix: string
  /** For values of this process that serve without a look; without it only their age decides. */
  readonly tracking?: RedisTracking | undefined
  /** How late the tracking may know of a change. */
  readonly noticeBoundMs: number
  /** A new nonce, never the same twice. */
  readonly nonce?: () => string
}

/** Long enough for every read; one that is gone costs a miss. */
const FLOOR_MS = 24 * 3_600_000
const GENERATION_MS = 7 * 24 * 3_600_000
const PLACE_MS = 600_000
/** Keys of queries are some hundred characters long. */
const MAX_HASHES = 10_000

/** Floors and values in Redis, where all processes see them. The keys of a tenant are together in a Cluster. */
export class RedisCache implements CacheStore {
  readonly isAuthoritative = true
  readonly noticeBoundMs: number
  readonly #redis: Redis
  readonly #prefix: string
  readonly #nonce: () => string
  readonly #watching: RedisFloorWatch | undefined
  readonly #upListeners = new Set<() => void>()
  readonly #stopHearing: () => void
  /**
   * Tenants whose generation this process may believe: it looked whether the server has become a master since; or began it anew, where Redis was
   * away meanwhile, or another one, and what was raised may be lost.
   */
  readonly #known = new Set<string>()
  /** What keys of values are called in Redis. */
  readonly #hashes = new Map<string, string>()
  /** How often there was reason to doubt what is there. */
  #doubts = 0
  #runId = ''

  constructor({ redis, prefix, tracking, noticeBoundMs, nonce }: RedisCacheOptions) {
    this.#redis = redis
    this.#prefix = prefix
    this.noticeBoundMs = noticeBoundMs
    this.#nonce = nonce ?? (() => randomBytes(9).toString('base64url'))
    this.#watching = tracking === undefined ? undefined : new RedisFloorWatch(tracking)
    if (!redis.isUp) this.#doubts++
    this.#stopHearing = redis.onChange((isUp) => {
      if (!isUp) this.#doubt()
      else for (const listener of this.#upListeners) listener()
    })
  }

  get isUp(): boolean {
    return this.#redis.isUp
  }

  onUp(listener: () => void): () => void {
    this.#upListeners.add(listener)
    return () => this.#upListeners.delete(listener)
  }

  async look(
    scope: TenantScope,
    tags: readonly string[],
    key: string | undefined,
    signal?: AbortSignal,
  ): Promise<Look> {
    const keys = [...this.#floorKeys(scope, tags), ...(key === undefined ? [] : [this.#valueKey(scope, key)])]
    let runId = ''
    // By what may be believed when it is asked for: until the answer is there, somebody else's question may have settled that.
    const mayBelieve = this.#known.has(scope.tenantId)
    const found = await this.#redis.command((client) => {
      runId = this.#redis.runId
      return client.mGet(keys)
    }, signal)
    const generation = mayBelieve ? this.#generationOf(scope, found[0], runId) : ''
    return {
      generation,
      floors: tags.map((_tag, index) => parseFloor(found[index + 1], generation)),
      value: key === undefined ? undefined : (found.at(-1) ?? undefined),
    }
  }

  async watch(scope: TenantScope, tags: readonly string[], seen: Look): Promise<Watch | undefined> {
    const { floors, generation } = seen
    return this.#watching?.watch(this.#floorKeys(scope, tags), ([first, ...rest]) => {
      const isSame = this.#generationOf(scope, first, this.#redis.runId) === generation
      return (
        isSame && rest.every((text, index) => parseFloor(text, generation)?.nonce === floors[index]?.nonce)
      )
    })
  }

  async establish(
    scope: TenantScope,
    tags: readonly string[],
    position: (tag: string) => Promise<Position>,
    signal?: AbortSignal,
  ): Promise<void> {
    const keys = this.#floorKeys(scope, tags)
    const doubts = this.#doubts
    const runId = this.#redis.runId
    const mode = this.#known.has(scope.tenantId) ? 'any' : doubts > 0 ? 'new' : 'proven'
    const claim = [runId, this.#nonce(), mode, this.#nonce(), String(GENERATION_MS), String(PLACE_MS)]
    const [whole = '', ...floors] = (await this.#run('claim', keys, claim, runId, signal)) as string[]
    if (doubts === this.#doubts) this.#known.add(scope.tenantId)
    const generation = whole.slice(0, whole.indexOf('|'))
    const missing = tags.flatMap((tag, index) =>
      isPlace(floors[index]!) ? [{ tag, key: keys[index + 1]!, place: floors[index]! }] : [],
    )
    if (missing.length === 0) return
    const positions = await Promise.all(missing.map(({ tag }) => position(tag)))
    const made = missing.flatMap(({ place }, index) => [
      place,
      `${generation}|${floorPosition(positions[index]!)}|${this.#nonce()}`,
    ])
    const fix = [whole, String(FLOOR_MS), ...made]
    await this.#run('fix', [keys[0]!, ...missing.map(({ key }) => key)], fix, runId, signal)
  }

  async put(scope: TenantScope, key: string, value: string, ttlMs: number): Promise<void> {
    await this.#redis.command((client) => client.set(this.#valueKey(scope, key), value, { PX: ttlMs }))
  }

  async raise(scope: TenantScope, tags: readonly string[], position: Position): Promise<void> {
    const [, ...keys] = this.#floorKeys(scope, tags)
    const values = [floorPosition(position), String(FLOOR_MS), ...tags.map(() => this.#nonce())]
    try {
      await this.#run('raise', keys, values)
    } catch (error) {
      // One late answer is no outage yet: who asks next must not find what this commit replaced.
      if (!(error instanceof RedisUnavailable) || error.reason === 'down') throw error
      await this.#run('raise', keys, values)
    }
  }

  async lock(scope: TenantScope, key: string, ttlMs: number): Promise<LoadRight | undefined> {
    const valueKey = this.#valueKey(scope, key)
    const lockKey = `${valueKey}:lock`
    const token = this.#nonce()
    const taken = (await this.#run('take', [lockKey, valueKey], [token, String(ttlMs)])) as [string?] | null
    if (taken === null) return undefined
    return { value: taken[0], giveBack: async () => void (await this.#run('release', [lockKey], [token])) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopHearing()
    this.#watching?.stop()
  }

  /** @param runId where the command must go; elsewhere it is not sent. */
  async #run(
    name: CacheScript['name'],
    keys: string[],
    values: string[],
    runId?: string,
    signal?: AbortSignal,
  ): Promise<unknown> {
    const { sha, text } = CACHE_SCRIPTS[name]
    const options = { keys, arguments: values }
    const send = (work: (client: RedisCommands) => Promise<unknown>): Promise<unknown> =>
      this.#redis.command((client) => {
        if (runId !== undefined && (runId === '' || runId !== this.#redis.runId))
          throw new RedisUnavailable('changed', 'Another Redis answers now.')
        return work(client)
      }, signal)
    try {
      return await send((client) => client.evalSha(sha, options))
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
      return send((client) => client.eval(text, options))
    }
  }

  /** The generation's name, where it is of the server that answered and may be believed; empty otherwise. */
  #generationOf(scope: TenantScope, text: string | null | undefined, runId: string): string {
    if (this.#runId !== '' && runId !== this.#runId) this.#doubt()
    this.#runId = runId
    if (typeof text !== 'string' || runId === '' || !this.#known.has(scope.tenantId)) return ''
    return text.endsWith(`@${runId}`) ? text.slice(0, text.indexOf('|')) : ''
  }

  #doubt(): void {
    this.#doubts++
    this.#known.clear()
  }

  #floorKeys({ tenantId }: TenantScope, tags: readonly string[]): string[] {
    const base = `${this.#prefix}cache:{${tenantId}}`
    return [`${base}:gen`, ...tags.map((tag) => `${base}:f:${tag}`)]
  }

  #valueKey({ tenantId }: TenantScope, key: string): string {
    return `${this.#prefix}cache:{${tenantId}}:v:${this.#hashOf(key)}`
  }

  /** What is asked for again and again is not hashed each time. */
  #hashOf(key: string): string {
    const known = this.#hashes.get(key)
    if (known !== undefined) return known
    if (this.#hashes.size >= MAX_HASHES) this.#hashes.clear()
    const made = hash('sha256', key, 'base64url').slice(0, 22)
    this.#hashes.set(key, made)
    return made
  }
}

function isPlace(text: string): boolean {
  return text.split('|')[1] === '?'
}

/** As cheap as can be: every hit reads its floors, and only a miss their positions. */
function parseFloor(text: string | null | undefined, generation: string): Floor | undefined {
  if (typeof text !== 'string' || generation === '' || !text.startsWith(generation)) return undefined
  const from = generation.length
  const to = text.indexOf('|', from + 1)
  if (text[from] !== '|' || to === -1) return undefined
  const at = text.slice(from + 1, to)
  return isFloorPosition(at) ? new StoredFloor(at, text.slice(to + 1)) : undefined
}

class StoredFloor implements Floor {
  readonly nonce: string
  readonly #at: string

  constructor(at: string, nonce: string) {
    this.#at = at
    this.nonce = nonce
  }

  get position(): Position {
    return parseFloorPosition(this.#at)
  }
}
