import type { TenantScope } from '../access/tenant-scope.ts'
import type { Executor } from '../database/connection.ts'
import { sqlState } from '../database/database-errors.ts'
import { type Page, type PageRequest, cursorKey, decodeCursor, toPage } from '../database/paging.ts'
import type { Algorithm, DetectorSettings } from '../detection/detector-settings.ts'
import { NomalyError, notFound } from '../errors.ts'
import type { Detector } from './detector.ts'

const COLUMNS = [
  'id',
  'name',
  'algorithm',
  'parameters',
  'budget_alarms',
  'budget_per_seconds',
  'created_at',
  'updated_at',
] as const

/** The detectors of one tenant. */
export class DetectorRepository {
  readonly #run: Executor
  readonly #scope: TenantScope

  constructor(run: Executor, scope: TenantScope) {
    this.#run = run
    this.#scope = scope
  }

  /** By name. */
  async list(page: PageRequest): Promise<Page<Detector>> {
    const rows = await this.#run(({ kysely }) => {
      let query = kysely
        .selectFrom('detectors')
        .select(COLUMNS)
        .orderBy('name')
        .limit(page.limit + 1)
      if (page.cursor !== undefined) {
        const [name] = decodeCursor(page.cursor, [cursorKey.name])
        query = query.where('name', '>', name)
      }
      return query.execute()
    })
    return toPage(rows, page.limit, toDetector, (row) => [row.name])
  }

  /** @throws NomalyError `not_found`. */
  async get(id: string): Promise<Detector> {
    const row = await this.#run(({ kysely }) =>
      kysely.selectFrom('detectors').select(COLUMNS).where('id', '=', id).executeTakeFirst(),
    )
    if (row === undefined) throw notFound('detector', id)
    return toDetector(row)
  }

  /** Those of these ids that exist, by id. */
  async getMany(ids: readonly string[]): Promise<Map<string, Detector>> {
    if (ids.length === 0) return new Map()
    const rows = await this.#run(({ kysely }) =>
      kysely.selectFrom('detectors').select(COLUMNS).where('id', 'in', ids).execute(),
    )
    return new Map(rows.map((row) => [row.id, toDetector(row)]))
  }

  async findByName(name: string): Promise<Detector | undefined> {
    const row = await this.#run(({ kysely }) =>
      kysely.selectFrom('detectors').select(COLUMNS).where('name', '=', name).executeTakeFirst(),
    )
    return row === undefined ? undefined : toDetector(row)
  }

  /** The one of that name, made where there is none, however many ask at once. */
  async findOrCreate(name: string, settings: DetectorSettings): Promise<Detector> {
    const existing = await this.findByName(name)
    if (existing !== undefined) return existing
    await this.#run(({ kysely }) =>
      kysely
        .insertInto('detectors')
        .values({ tenant_id: this.#scope.tenantId, name, ...toColumns(settings) })
        .onConflict((conflict) => conflict.columns(['tenant_id', 'name']).doNothing())
        .execute(),
    )
    const made = await this.findByName(name)
    if (made === undefined) throw notFound('detector', name)
    return made
  }

  /** @throws NomalyError `conflict` where the name is taken. */
  async create(name: string, settings: DetectorSettings): Promise<Detector> {
    const row = await this.#run(({ kysely }) =>
      kysely
        .insertInto('detectors')
        .values({ tenant_id: this.#scope.tenantId, name, ...toColumns(settings) })
        .onConflict((conflict) => conflict.columns(['tenant_id', 'name']).doNothing())
        .returning(COLUMNS)
        .executeTakeFirst(),
    )
    if (row === undefined) throw nameTaken(name)
    return toDetector(row)
  }

  /** @throws NomalyError `not_found`, or `conflict` where the new name is taken. */
  async update(
    id: string,
    change: { readonly name?: string; readonly settings?: DetectorSettings },
  ): Promise<Detector> {
    try {
      const row = await this.#run(({ kysely }) =>
        kysely
          .updateTable('detectors')
          .set({
            ...(change.name === undefined ? {} : { name: change.name }),
            ...(change.settings === undefined ? {} : toColumns(change.settings)),
            updated_at: new Date(),
          })
          .where('id', '=', id)
          .returning(COLUMNS)
          .executeTakeFirst(),
      )
      if (row === undefined) throw notFound('detector', id)
      return toDetector(row)
    } catch (error) {
      if (sqlState(error) === '23505') throw nameTaken(change.name ?? id)
      throw error
    }
  }

  /** @throws NomalyError `not_found`, or `conflict` while a job uses it. */
  async remove(id: string): Promise<void> {
    try {
      const result = await this.#run(({ kysely }) =>
        kysely.deleteFrom('detectors').where('id', '=', id).executeTakeFirst(),
      )
      if (result.numDeletedRows === 0n) throw notFound('detector', id)
    } catch (error) {
      if (sqlState(error) === '23503')
        throw new NomalyError('conflict', 'A job uses this detector.', {
          hint: 'Delete the job first; `nomaly jobs list` shows which one it is.',
        })
      throw error
    }
  }
}

function nameTaken(name: string): NomalyError {
  return new NomalyError('conflict', `There is a detector "${name}" already.`, {
    problems: [{ field: 'name', reason: 'is taken' }],
    hint: 'Take another name.',
  })
}

function toColumns(settings: DetectorSettings): {
  algorithm: string
  parameters: string
  budget_alarms: number
  budget_per_seconds: number
} {
  return {
    algorithm: settings.algorithm,
    parameters: JSON.stringify(settings.parameters),
    budget_alarms: settings.budget.alarms,
    budget_per_seconds: settings.budget.perSeconds,
  }
}

function toDetector(row: {
  id: string
  name: string
  algorithm: string
  parameters: unknown
  budget_alarms: number
  budget_per_seconds: number
  created_at: Date
  updated_at: Date
}): Detector {
  return {
    id: row.id,
    name: row.name,
    algorithm: row.algorithm as Algorithm,
    parameters: row.parameters as Record<string, number>,
    budget: { alarms: row.budget_alarms, perSeconds: row.budget_per_seconds },
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}
