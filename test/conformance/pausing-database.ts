import { Connection } from '../../src/database/connection.ts'
import { Database, type ReadOptions, type TransactionOptions } from '../../src/database/database.ts'
import type { Committed } from '../../src/database/position.ts'

/** Called before a statement, with its text; and with `commit` when all of a transaction's work is done. */
export type Pause = (statement: string) => Promise<void>

/** A database whose transactions stop before each of their statements for as long as a test wants them to. */
export class PausingDatabase extends Database {
  readonly #pause: Pause

  constructor(options: ConstructorParameters<typeof Database>[0], pause: Pause) {
    super(options)
    this.#pause = pause
  }

  override transaction<T>(
    options: TransactionOptions,
    work: (connection: Connection) => Promise<T>,
  ): Promise<Committed<T>> {
    return super.transaction(options, (connection) => this.#paused(connection, work))
  }

  override read<T>(options: ReadOptions, work: (connection: Connection) => Promise<T>): Promise<T> {
    return super.read(options, async (connection) => {
      await connection.batch([])
      return this.#paused(connection, work)
    })
  }

  async #paused<T>(connection: Connection, work: (connection: Connection) => Promise<T>): Promise<T> {
    const { client } = connection
    const query = async (text: string, ...all: unknown[]): Promise<unknown> => {
      await this.#pause(text)
      return (client.query as unknown as (...all: unknown[]) => unknown).call(client, ...all)
    }
    const pausing = new Proxy(client, {
      get: (target, name) => {
        if (name !== 'query') {
          const value: unknown = Reflect.get(target, name)
          return typeof value === 'function' ? value.bind(target) : value
        }
        // Streams and cursors must be handed out at once.
        return (first: string | { readonly text?: string }, ...rest: unknown[]) =>
          typeof first === 'string' || !('submit' in first)
            ? query(typeof first === 'string' ? first : first.text!, first, ...rest)
            : (target.query as unknown as (...all: unknown[]) => unknown).call(target, first, ...rest)
      },
    })
    const value = await work(new Connection(pausing))
    await this.#pause('commit')
    return value
  }
}
