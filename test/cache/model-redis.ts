import type { Redis, RedisCommands } from '../../src/redis/connection.ts'
import { RedisUnavailable } from '../../src/redis/unavailable.ts'
import { CACHE_SCRIPTS, type CacheScript } from '../../src/cache/redis-cache-scripts.ts'
import { MODEL_SCRIPTS, type ModelKeys, type ModelScripts } from './model-scripts.ts'
import type { Schedule } from './schedule.ts'

/** One server's memory. */
export class ModelServer {
  readonly runId: string
  /** How often it became a master. */
  terms = 0
  readonly keys: ModelKeys = new Map()

  constructor(runId: string, keys?: ModelKeys) {
    this.runId = runId
    for (const [key, held] of keys ?? []) this.keys.set(key, held)
  }
}

/** The Redis of all processes: which server serves now, and how it fails. */
export class ModelRedis {
  readonly schedule: Schedule
  readonly scripts: ModelScripts
  readonly connections = new Set<ModelConnection>()
  server = new ModelServer('run0')
  isAway = false
  /** Connections break, and nobody is told. */
  isSilent = false
  /** How likely a command is done, and its answer lost. */
  loss = 0

  constructor(schedule: Schedule, scripts: ModelScripts = MODEL_SCRIPTS) {
    this.schedule = schedule
    this.scripts = scripts
  }

  connect(): ModelConnection {
    const connection = new ModelConnection(this)
    this.connections.add(connection)
    return connection
  }

  /** Another server serves from now on; what is under way is lost. */
  failOver(server: ModelServer): void {
    this.goAway()
    server.terms++
    this.server = server
    this.comeBack()
  }

  goAway(): void {
    if (this.isAway) return
    this.isAway = true
    for (const connection of this.connections) connection.tell(false, this.isSilent)
  }

  comeBack(): void {
    if (!this.isAway) return
    this.isAway = false
    for (const connection of this.connections) connection.tell(true, false)
  }

  forget(keys: Iterable<string>): void {
    for (const key of keys) this.server.keys.delete(key)
  }
}

/** What {@link RedisCache} needs of a connection, over the model. */
export class ModelConnection {
  readonly #redis: ModelRedis
  readonly #listeners = new Set<(isUp: boolean) => void>()
  #epoch = 0

  constructor(redis: ModelRedis) {
    this.#redis = redis
  }

  get isUp(): boolean {
    return !this.#redis.isAway
  }

  get runId(): string {
    return this.#redis.server.runId
  }

  onChange(listener: (isUp: boolean) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  tell(isUp: boolean, isSilent: boolean): void {
    if (!isUp) this.#epoch++
    if (isSilent) return
    for (const listener of this.#listeners) listener(isUp)
  }

  command<T>(work: (client: RedisCommands) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted()
    if (this.#redis.isAway) return Promise.reject(new RedisUnavailable('down', 'away'))
    return work(this.#client() as unknown as RedisCommands)
  }

  /** As the interface that adapters take. */
  get asRedis(): Redis {
    return this as unknown as Redis
  }

  #client(): object {
    return {
      mGet: (keys: string[]) => this.#send((held) => keys.map((key) => get(held, key, this.#now))),
      set: (key: string, value: string, { PX, NX }: { PX: number; NX?: boolean }) =>
        this.#send((held) => {
          if (NX === true && get(held, key, this.#now) !== null) return null
          held.set(key, { value, untilMs: this.#now + PX })
          return 'OK'
        }),
      evalSha: (sha: string, { keys, arguments: values }: { keys: string[]; arguments: string[] }) => {
        const script = Object.values(CACHE_SCRIPTS).find((each) => each.sha === sha)!
        return this.#send((held, replicationId) =>
          this.#script(script)(held, keys, values, this.#now, replicationId),
        )
      },
    }
  }

  get #now(): number {
    return this.#redis.schedule.nowMs
  }

  #script({ name }: CacheScript): ModelScripts[CacheScript['name']] {
    return this.#redis.scripts[name]
  }

  /** The way there, the work, the way back: on each the connection may break. */
  async #send<T>(work: (held: ModelKeys, replicationId: string) => T): Promise<T> {
    const { schedule } = this.#redis
    const epoch = this.#epoch
    const { server } = this.#redis
    await schedule.pause()
    // What has arrived before the connection broke is done all the same, by the server that it was sent to.
    if (epoch !== this.#epoch && schedule.happens(0.5)) throw new RedisUnavailable('down', 'broken')
    if (schedule.happens(this.#redis.loss)) throw new RedisUnavailable('slow', 'not heard')
    const answer = work(server.keys, `${server.runId}x${server.terms}`)
    if (schedule.happens(this.#redis.loss)) throw new RedisUnavailable('slow', 'no answer')
    await schedule.pause()
    if (epoch !== this.#epoch) throw new RedisUnavailable('down', 'broken')
    return answer
  }
}

function get(held: ModelKeys, key: string, nowMs: number): string | null {
  const found = held.get(key)
  return found === undefined || found.untilMs <= nowMs ? null : found.value
}
