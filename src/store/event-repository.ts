import type { Executor } from '../database/connection.ts'

/** An event as the relay has numbered it. */
export interface StoredEvent {
  readonly id: number
  readonly topic: string
  readonly payload: unknown
}

/** The events of one tenant, as they were published. */
export class EventRepository {
  readonly #run: Executor

  constructor(run: Executor) {
    this.#run = run
  }

  /** Those above a number, ascending. */
  async after(id: number, limit: number): Promise<StoredEvent[]> {
    const rows = await this.#run(({ kysely }) =>
      kysely
        .selectFrom('events')
        .select(['id', 'topic', 'payload'])
        .where('id', '>', String(id))
        .orderBy('id')
        .limit(limit)
        .execute(),
    )
    return rows.map((row) => ({ id: Number(row.id), topic: row.topic, payload: row.payload }))
  }

  /** The numbers of the oldest and the newest event that are kept; 0 where there is none. */
  async bounds(): Promise<{ readonly oldestId: number; readonly newestId: number }> {
    const row = await this.#run(({ kysely }) =>
      kysely
        .selectFrom('events')
        .select(({ fn }) => [fn.min('id').as('oldest'), fn.max('id').as('newest')])
        .executeTakeFirst(),
    )
    return { oldestId: Number(row?.oldest ?? 0), newestId: Number(row?.newest ?? 0) }
  }
}
