import type { TenantScope } from '../access/tenant-scope.ts'
import type { Executor } from '../database/connection.ts'
import type { JobStatus } from '../jobs/job.ts'
import type { RunStatus } from '../jobs/run.ts'
import { formatNotification, NOTIFICATION_CHANNEL } from '../notifications/notifier.ts'

/** What others may hear of, by topic: ids and states only, since everything is read again. */
export interface EventPayloads {
  readonly anomaly: { readonly id: string; readonly change: 'opened' | 'updated' | 'state' }
  readonly job: { readonly id: string; readonly status: JobStatus | 'deleted' }
  readonly run: {
    readonly id: string
    readonly jobId: string
    readonly status: RunStatus
    readonly seriesDone: number
    readonly seriesTotal: number
  }
  readonly dataset: { readonly id: string; readonly change: 'created' | 'updated' | 'deleted' }
}

export type EventTopic = keyof EventPayloads

/** In the outbox, of what is for the cache and nobody else. */
export const RAISE_TOPIC = 'cache'

/** Events that follow the commit of this unit of work: published if and only if it commits, at least once. */
export class Outbox {
  readonly #run: Executor
  readonly #scope: TenantScope

  constructor(run: Executor, scope: TenantScope) {
    this.#run = run
    this.#scope = scope
  }

  async add<T extends EventTopic>(topic: T, payload: EventPayloads[T]): Promise<void> {
    await this.#add(topic, payload)
  }

  /** What the cache must be told of this commit, should nobody else live to do it. */
  async addRaise(tags: readonly string[]): Promise<void> {
    await this.#add(RAISE_TOPIC, { tags })
  }

  async #add(topic: string, payload: object): Promise<void> {
    const { tenantId } = this.#scope
    // The relay is woken by the commit itself; the same notice twice in one transaction is sent once.
    await this.#run((connection) =>
      connection.query(
        `with added as (insert into nomaly.outbox (tenant_id, topic, payload) values ($1, $2, $3))
         select pg_notify($4, $5)`,
        [
          tenantId,
          topic,
          JSON.stringify(payload),
          NOTIFICATION_CHANNEL,
          formatNotification({ channel: 'outbox', tenantId, id: '' }),
        ],
      ),
    )
  }
}
