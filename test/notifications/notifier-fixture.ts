import pg from 'pg'
import {
  formatNotification,
  NOTIFICATION_CHANNEL,
  type Notification,
} from '../../src/notifications/notifier.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'

/** The PostgreSQL side of notifiers under test. */
export class NotifierDatabase implements AsyncDisposable {
  readonly #database: TestDatabase
  readonly #admin: pg.Client

  private constructor(database: TestDatabase, admin: pg.Client) {
    this.#database = database
    this.#admin = admin
  }

  static async create(): Promise<NotifierDatabase> {
    const database = await createTestDatabase()
    const admin = new pg.Client({ connectionString: database.adminUrl })
    await admin.connect()
    return new NotifierDatabase(database, admin)
  }

  get url(): string {
    return this.#database.adminUrl
  }

  async notify(text: string): Promise<void> {
    await this.#admin.query('select pg_notify($1, $2)', [NOTIFICATION_CHANNEL, text])
  }

  async commitWith(notification: Notification): Promise<void> {
    await this.#admin.query('begin')
    await this.notify(formatNotification(notification))
    await this.#admin.query('commit')
  }

  async breakConnections(): Promise<void> {
    await this.#admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name = 'nomaly notifier'`,
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#admin.end()
    await this.#database[Symbol.asyncDispose]()
  }
}
