import type { TenantScope } from '../access/tenant-scope.ts'
import type { Executor } from '../database/connection.ts'
import type { JobStatus } from '../jobs/job.ts'
import type { RunStatus } from '../jobs/run.ts'

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

/** Events that follow the commit of this unit of work: published if and only if it commits, at least once. */
export class Outbox {
  readonly #run: Executor
  readonly #scope: TenantScope

  constructor(run: Executor, scope: TenantScope) {
    this.#run = run
    this.#scope = scope
  }

  async add<T extends EventTopic>(topic: T, payload: EventPayloads[T]): Promise<void> {
    await this.#run(({ kysely }) =>
      kysely
        .insertInto('outbox')
        .values({ tenant_id: this.#scope.tenantId, topic, payload: JSON.stringify(payload) })
        .execute(),
    )
  }
}
