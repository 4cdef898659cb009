import pg from 'pg'
import type { DatabaseHost } from '../config/database-url.ts'
import type { PrimaryFinder } from './primary-finder.ts'

const CHECK_TIMEOUT_MS = 5_000

/** A connection of a pool to the server that takes writes when it is made. */
export class HostedClient extends pg.Client {
  readonly #finder: PrimaryFinder
  readonly #server: DatabaseHost
  /** Of the server when the connection was made; 0 where it was not asked. */
  timeline = 0

  constructor(config: pg.ClientConfig, finder: PrimaryFinder) {
    const server = finder.host
    if (server === undefined) throw new Error('no server has been found yet')
    super({ ...config, connectionString: server.url })
    this.#finder = finder
    this.#server = server
    // It broke: the primary may be another one now.
    this.on('error', () => finder.forget(server))
  }

  /** The class that a pool makes its connections of. */
  static of(finder: PrimaryFinder): new (config: pg.ClientConfig) => HostedClient {
    return class extends HostedClient {
      constructor(config: pg.ClientConfig) {
        super(config, finder)
      }
    }
  }

  /** @throws NotPrimary. */
  async requirePrimary(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error('Connection terminated due to connection timeout')),
        CHECK_TIMEOUT_MS,
      )
    })
    try {
      this.timeline = await Promise.race([this.#finder.check(this), deadline])
    } catch (error) {
      this.#finder.forget(this.#server)
      throw error
    } finally {
      clearTimeout(timer)
    }
  }
}
