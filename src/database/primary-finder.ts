import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { type DatabaseAddress, type DatabaseHost, parseDatabaseUrl } from '../config/database-url.ts'
import { NomalyError } from '../errors.ts'
import { isConnectionLoss, NotPrimary } from './database-errors.ts'

/** What a server says of itself. */
interface Standing {
  readonly systemId: string
  /** `undefined` on a standby. */
  readonly timeline: number | undefined
}

const LOOK_TIMEOUT_MS = 3_000
/** How much longer than the first of them others are waited for that take writes too: an old primary may be back. */
const GRACE_MS = 100
const PAUSE_MS = { first: 100, most: 1_000 }

const STANDING = `select (select system_identifier::text from pg_control_system()) as "systemId",
  case when not pg_is_in_recovery() then substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) end as timeline`

/**
 * Knows which of the servers of a URL takes writes. A server never turns from a primary into a standby without ending its connections, so it
 * is enough to ask once on each. A primary of an older timeline than one that was seen before has been replaced: it is not used, also where it
 * is the only one that answers.
 */
export class PrimaryFinder {
  readonly #address: DatabaseAddress
  #host: DatabaseHost | undefined
  #systemId: string | undefined
  #timeline = 0
  #looking: Promise<DatabaseHost | undefined> | undefined

  /** @param session what the URL says of it is left aside where something stands here. */
  constructor(url: string, session?: DatabaseAddress['session']) {
    const address = parseDatabaseUrl(url)
    this.#address = { ...address, session: session ?? address.session }
    this.#host = this.isChoice ? undefined : this.#address.hosts[0]
  }

  /** Whether there are several servers to choose from. */
  get isChoice(): boolean {
    return this.#address.hosts.length > 1
  }

  /** The server that took writes when it was last looked at; `undefined` where that is not known. The only one, where there is one. */
  get host(): DatabaseHost | undefined {
    return this.#host
  }

  /** The newest timeline that was seen; 0 before. */
  get timeline(): number {
    return this.#timeline
  }

  /** Says that a server could not be used, so that it is looked for again. */
  forget(host: DatabaseHost): void {
    if (this.isChoice && this.#host === host) this.#host = undefined
  }

  /**
   * Makes sure that a new connection leads to a server that takes writes.
   * @returns its timeline; 0 where any server will do.
   * @throws NotPrimary.
   */
  async check(client: pg.ClientBase): Promise<number> {
    if (this.#address.session === 'any') return 0
    const standing = await readStanding(client)
    if (!this.#isNewest(standing)) throw new NotPrimary()
    return this.#remember(standing)
  }

  /**
   * Finds the server that takes writes, however long it takes.
   * @throws NomalyError `unavailable` when the signal aborts; what a server says that does not let us in.
   */
  async find(signal: AbortSignal): Promise<DatabaseHost> {
    for (let pauseMs = PAUSE_MS.first; ; pauseMs = Math.min(PAUSE_MS.most, pauseMs * 2)) {
      const host = this.#host ?? (await this.look())
      if (host !== undefined) return host
      await sleep(pauseMs * (0.5 + Math.random()), undefined, { signal }).catch(() => {})
      if (signal.aborted) throw toNobody(signal.reason)
    }
  }

  /** Looks at all servers now; answers the one to use, if any. Those who ask meanwhile share the look. */
  look(): Promise<DatabaseHost | undefined> {
    this.#looking ??= this.#lookAtAll().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  /** Opens a connection of its own to the server that takes writes. Errors on it while it is idle are left to its events. */
  async connect(config: pg.ClientConfig, signal: AbortSignal): Promise<pg.Client> {
    for (;;) {
      const host = await this.find(signal)
      const client = new pg.Client({ keepAlive: true, ...config, connectionString: host.url })
      client.on('error', () => {})
      try {
        await client.connect()
        await this.check(client)
        return client
      } catch (error) {
        this.forget(host)
        await client.end().catch(() => {})
        if (!this.isChoice || !isElsewhere(error)) throw error
        if (signal.aborted) throw toNobody(error)
      }
    }
  }

  async #lookAtAll(): Promise<DatabaseHost | undefined> {
    const first = Promise.withResolvers<void>()
    const primaries: { readonly host: DatabaseHost; readonly standing: Standing }[] = []
    const refusals: unknown[] = []
    const looks = this.#address.hosts.map(async (host) => {
      try {
        const standing = await this.#lookAt(host)
        if (this.#address.session === 'primary' && !this.#isNewest(standing)) return
        primaries.push({ host, standing })
        first.resolve()
      } catch (error) {
        if (!isElsewhere(error)) refusals.push(error)
      }
    })
    await Promise.race([Promise.all(looks), first.promise.then(() => sleep(GRACE_MS))])
    const best = primaries.toSorted((a, b) => timelineOf(b.standing) - timelineOf(a.standing))[0]
    // A login that is not let in will not be let in later either.
    if (best === undefined && refusals.length > 0) throw refusals[0]
    if (best === undefined) return undefined
    if (this.#address.session === 'primary') this.#remember(best.standing)
    this.#host = best.host
    return best.host
  }

  async #lookAt(host: DatabaseHost): Promise<Standing> {
    const client = new pg.Client({
      connectionString: host.url,
      application_name: 'nomaly look',
      connectionTimeoutMillis: LOOK_TIMEOUT_MS,
      query_timeout: LOOK_TIMEOUT_MS,
    })
    client.on('error', () => {})
    try {
      await client.connect()
      return await readStanding(client)
    } finally {
      void client.end().catch(() => {})
    }
  }

  #isNewest({ systemId, timeline }: Standing): boolean {
    // Another cluster has timelines of its own.
    return timeline !== undefined && (systemId !== this.#systemId || timeline >= this.#timeline)
  }

  #remember(standing: Standing): number {
    this.#systemId = standing.systemId
    this.#timeline = timelineOf(standing)
    return this.#timeline
  }
}

function timelineOf({ timeline = 0 }: Standing): number {
  return timeline
}

async function readStanding(client: pg.ClientBase): Promise<Standing> {
  const { rows } = await client.query<{ systemId: string; timeline: string | null }>(STANDING)
  const { systemId, timeline } = rows[0]!
  return { systemId, timeline: timeline === null ? undefined : Number.parseInt(timeline, 16) }
}

/** Whether another server may do where this one does not. */
function isElsewhere(error: unknown): boolean {
  return error instanceof NotPrimary || isConnectionLoss(error) || /timeout/.test((error as Error).message)
}

function toNobody(cause: unknown): NomalyError {
  return new NomalyError('unavailable', 'No server of the database takes writes.', {
    hint: 'Try again in a moment; look at the servers if it stays so.',
    retryAfterSeconds: 2,
    cause,
  })
}
