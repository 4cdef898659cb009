import type { Database } from '../database/database.ts'
import { invalidField, NomalyError, notFound } from '../errors.ts'
import { sqlState } from '../database/database-errors.ts'

export interface Tenant {
  readonly id: string
  readonly name: string
  readonly createdAt: Date
}

interface TenantRow {
  readonly id: string
  readonly name: string
  readonly created_at: Date
}

/** The tenants of an installation: an operator's matter, so it works as the system. */
export class Tenants {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async list(): Promise<Tenant[]> {
    const rows = await this.#database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
      connection.query<TenantRow & Record<string, unknown>>(
        'select id, name, created_at from nomaly.tenants order by name',
      ),
    )
    return rows.map(toTenant)
  }

  /** @throws NomalyError `not_found`. */
  async find(name: string): Promise<Tenant> {
    const tenant = (await this.list()).find((candidate) => candidate.name === name)
    if (tenant === undefined) throw notFound('tenant', name)
    return tenant
  }

  /** @throws NomalyError `invalid_input` for a name that does not fit, `conflict` for one that is taken. */
  async create(name: string): Promise<Tenant> {
    if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(name))
      throw invalidField(
        'name',
        'must be 1 to 63 lower-case letters, digits and dashes, and start with no dash',
      )
    try {
      const { value } = await this.#database.transaction({ role: 'nomaly_system' }, (connection) =>
        connection.query<TenantRow & Record<string, unknown>>(
          'insert into nomaly.tenants (name) values ($1) returning id, name, created_at',
          [name],
        ),
      )
      return toTenant(value[0]!)
    } catch (error) {
      if (sqlState(error) === '23505')
        throw new NomalyError('conflict', `There is a tenant "${name}" already.`, {
          hint: 'Take another name.',
        })
      throw error
    }
  }
}

function toTenant(row: TenantRow): Tenant {
  return { id: row.id, name: row.name, createdAt: row.created_at }
}
