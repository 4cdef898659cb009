import type { Position } from '../database/position.ts'
import type { FoundSession, Session, SessionStore } from './session-store.ts'
import type { SessionTable } from './session-table.ts'

/** Sessions without anything beside PostgreSQL: one indexed read for each look-up. */
export class PostgresSessions implements SessionStore {
  readonly name = 'postgres'
  readonly #table: SessionTable

  constructor(table: SessionTable) {
    this.#table = table
  }

  find(secretHash: Buffer): Promise<FoundSession | undefined> {
    return this.#table.find(secretHash)
  }

  touch(_secretHash: Buffer, session: Session): Promise<void> {
    return this.#table.noteUse(session)
  }

  async forget(): Promise<void> {
    // There is no copy.
  }

  keepPosition(session: Session, position: Position): Promise<void> {
    return this.#table.keepPosition(session, position)
  }

  positions(session: Session): Promise<readonly Position[]> {
    return this.#table.positions(session)
  }
}
