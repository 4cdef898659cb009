import type { TenantScope } from '../access/tenant-scope.ts'
import type { Connection, Executor } from '../database/connection.ts'
import { sqlState } from '../database/database-errors.ts'
import { type Page, type PageRequest, cursorKey, decodeCursor, toPage } from '../database/paging.ts'
import { NomalyError, notFound } from '../errors.ts'
import type { RetentionClass } from '../metrics/metrics-engine.ts'
import { DATASET_NAME, type Dataset } from './dataset.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const COLUMNS = ['id', 'name', 'description', 'retention', 'metadata', 'created_at', 'updated_at'] as const

export interface NewDataset {
  readonly name: string
  readonly description?: string | undefined
  readonly retention?: RetentionClass | undefined
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
}

/** The datasets of one tenant. */
export class DatasetRepository {
  readonly #run: Executor
  readonly #scope: TenantScope

  constructor(run: Executor, scope: TenantScope) {
    this.#run = run
    this.#scope = scope
  }

  /** By name. */
  async list(page: PageRequest): Promise<Page<Dataset>> {
    const rows = await this.#run(({ kysely }) => {
      let query = kysely
        .selectFrom('datasets')
        .select(COLUMNS)
        .orderBy('name')
        .limit(page.limit + 1)
      if (page.cursor !== undefined) {
        const [name] = decodeCursor(page.cursor, [cursorKey.name])
        query = query.where('name', '>', name)
      }
      return query.execute()
    })
    return toPage(rows, page.limit, toDataset, (row) => [row.name])
  }

  async find(idOrName: string): Promise<Dataset | undefined> {
    const isId = UUID.test(idOrName)
    if (!isId && !DATASET_NAME.test(idOrName)) return undefined
    const row = await this.#run(({ kysely }) =>
      kysely
        .selectFrom('datasets')
        .select(COLUMNS)
        .where(isId ? 'id' : 'name', '=', idOrName)
        .executeTakeFirst(),
    )
    return row === undefined ? undefined : toDataset(row)
  }

  /** @throws NomalyError `not_found`. */
  async get(idOrName: string): Promise<Dataset> {
    const dataset = await this.find(idOrName)
    if (dataset === undefined) throw notFound('dataset', idOrName)
    return dataset
  }

  /** @throws NomalyError `conflict` where the name is taken. */
  async create(dataset: NewDataset): Promise<Dataset> {
    return this.#run(async ({ kysely }) => {
      const row = await kysely
        .insertInto('datasets')
        .values({
          tenant_id: this.#scope.tenantId,
          name: dataset.name,
          description: dataset.description ?? '',
          retention: dataset.retention ?? 'forever',
          metadata: JSON.stringify(dataset.metadata ?? {}),
        })
        .onConflict((conflict) => conflict.columns(['tenant_id', 'name']).doNothing())
        .returning(COLUMNS)
        .executeTakeFirst()
      if (row === undefined) throw nameTaken(dataset.name)
      return toDataset(row)
    })
  }

  /** @throws NomalyError `not_found`, or `conflict` where the new name is taken. */
  async update(
    id: string,
    change: { name?: string | undefined; description?: string | undefined },
  ): Promise<Dataset> {
    try {
      const row = await this.#run(({ kysely }) =>
        kysely
          .updateTable('datasets')
          .set({
            ...(change.name === undefined ? {} : { name: change.name }),
            ...(change.description === undefined ? {} : { description: change.description }),
            updated_at: new Date(),
          })
          .where('id', '=', id)
          .returning(COLUMNS)
          .executeTakeFirst(),
      )
      if (row === undefined) throw notFound('dataset', id)
      return toDataset(row)
    } catch (error) {
      if (sqlState(error) === '23505') throw nameTaken(change.name ?? id)
      throw error
    }
  }

  /** Removes the dataset with its jobs and anomalies; its points are the metrics engine's. */
  async remove(id: string): Promise<void> {
    const remove = async ({ kysely }: Connection): Promise<bigint> => {
      const result = await kysely.deleteFrom('datasets').where('id', '=', id).executeTakeFirst()
      return result.numDeletedRows
    }
    if ((await this.#run(remove)) === 0n) throw notFound('dataset', id)
  }
}

function nameTaken(name: string): NomalyError {
  return new NomalyError('conflict', `There is a dataset "${name}" already.`, {
    problems: [{ field: 'name', reason: 'is taken' }],
    hint: 'Take another name, or use the one that exists.',
  })
}

function toDataset(row: {
  id: string
  name: string
  description: string
  retention: string
  metadata: unknown
  created_at: Date
  updated_at: Date
}): Dataset {
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    retention: row.retention as RetentionClass,
    metadata: row.metadata as Record<string, unknown>,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}
