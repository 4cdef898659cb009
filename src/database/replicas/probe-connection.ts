import type pg from 'pg'
import { PrimaryFinder } from '../primary-finder.ts'

/** How long a server may take to say where it stands. */
const ANSWER_TIMEOUT_MS = 1_000
const CONNECT_TIMEOUT_MS = 2_000

/** A connection of its own on which a server is asked about itself, so that no pool that is used up keeps it from answering. Made anew when it breaks. */
export class ProbeConnection implements AsyncDisposable {
  readonly #options: pg.ClientConfig
  readonly #finder: PrimaryFinder
  #client: pg.Client | undefined
  #isOver = false

  /** @param server whether it must take writes; of several servers in the URL the one that does is found. */
  constructor(url: string, applicationName: string, server: 'primary' | 'any') {
    this.#finder = new PrimaryFinder(url, server)
    this.#options = {
      application_name: applicationName,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: ANSWER_TIMEOUT_MS,
      keepAlive: true,
    }
  }

  /** The first row of a statement. @throws what the driver does, within some seconds. */
  async ask<Row extends pg.QueryResultRow>(statement: string): Promise<Row> {
    if (this.#isOver) throw new Error('Connection terminated')
    try {
      this.#client ??= await this.#connect()
      // The login itself has no rights; and through a pooler a role that outlasts its transaction would be left to whoever comes next.
      const answered: unknown = await this.#client.query(
        `begin read only; set local role nomaly_system; ${statement}; commit`,
      )
      return (answered as pg.QueryResult<Row>[])[2]!.rows[0]!
    } catch (error) {
      this.#drop()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true
    this.#drop()
  }

  async #connect(): Promise<pg.Client> {
    const client = await this.#finder.connect(this.#options, AbortSignal.timeout(CONNECT_TIMEOUT_MS))
    // What breaks while nobody asks is noticed by the next who does.
    client.on('error', () => {})
    return client
  }

  #drop(): void {
    if (this.#client !== undefined) breakConnection(this.#client)
    this.#client = undefined
  }
}

/** Ends a connection at once, whatever its server does: what waits on it fails. */
export function breakConnection(client: pg.ClientBase): void {
  const { connection } = client as unknown as {
    readonly connection: { readonly stream: { destroy(): void } }
  }
  connection.stream.destroy()
}
