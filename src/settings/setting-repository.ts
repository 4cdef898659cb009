import type { Executor } from '../database/connection.ts'
import type { TenantScope } from '../access/tenant-scope.ts'

/** What a tenant has set for itself, as JSON documents by name. */
export class SettingRepository {
  readonly #run: Executor
  readonly #scope: TenantScope

  constructor(run: Executor, scope: TenantScope) {
    this.#run = run
    this.#scope = scope
  }

  /** `undefined` where it was never set. The caller checks the shape: documents outlive versions. */
  async get(name: string): Promise<unknown> {
    const row = await this.#run(({ kysely }) =>
      kysely.selectFrom('settings').select('value').where('name', '=', name).executeTakeFirst(),
    )
    return row?.value
  }

  async set(name: string, value: unknown, actor: string): Promise<void> {
    const json = JSON.stringify(value)
    await this.#run(({ kysely }) =>
      kysely
        .insertInto('settings')
        .values({ tenant_id: this.#scope.tenantId, name, value: json, updated_by: actor })
        .onConflict((conflict) =>
          conflict
            .columns(['tenant_id', 'name'])
            .doUpdateSet({ value: json, updated_by: actor, updated_at: new Date() }),
        )
        .execute(),
    )
  }

  async remove(name: string): Promise<void> {
    await this.#run(({ kysely }) => kysely.deleteFrom('settings').where('name', '=', name).execute())
  }
}
