import type { Executor } from '../database/connection.ts'
import { type Page, type PageRequest, cursorKey, decodeCursor, toPage } from '../database/paging.ts'
import type { TenantScope } from './tenant-scope.ts'

export interface AuditEntry {
  readonly id: number
  readonly at: Date
  readonly actor: string
  /** A verb, such as `dataset.delete`. */
  readonly action: string
  readonly subjectKind: string
  readonly subjectId: string
  readonly detail: Readonly<Record<string, unknown>>
}

/** Who changed what: append-only, kept by the database itself. */
export class AuditLog {
  readonly #run: Executor
  readonly #scope: TenantScope

  constructor(run: Executor, scope: TenantScope) {
    this.#run = run
    this.#scope = scope
  }

  async record(
    actor: string,
    action: string,
    subject: { readonly kind: string; readonly id: string },
    detail: Readonly<Record<string, unknown>> = {},
  ): Promise<void> {
    await this.#run(({ kysely }) =>
      kysely
        .insertInto('audit_log')
        .values({
          tenant_id: this.#scope.tenantId,
          actor,
          action,
          subject_kind: subject.kind,
          subject_id: subject.id,
          detail: JSON.stringify(detail),
        })
        .execute(),
    )
  }

  /** Newest first. */
  async list(page: PageRequest): Promise<Page<AuditEntry>> {
    const rows = await this.#run(({ kysely }) => {
      let query = kysely
        .selectFrom('audit_log')
        .selectAll()
        .orderBy('id', 'desc')
        .limit(page.limit + 1)
      if (page.cursor !== undefined) {
        const [id] = decodeCursor(page.cursor, [cursorKey.integer])
        query = query.where('id', '<', String(id))
      }
      return query.execute()
    })
    return toPage(
      rows,
      page.limit,
      (row) => ({
        id: Number(row.id),
        at: row.at,
        actor: row.actor,
        action: row.action,
        subjectKind: row.subject_kind,
        subjectId: row.subject_id,
        detail: row.detail as Record<string, unknown>,
      }),
      (row) => [Number(row.id)],
    )
  }
}
