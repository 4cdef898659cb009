import type { TenantScope } from '../access/tenant-scope.ts'
import type { Position } from '../database/position.ts'
import { laterPosition } from './floor.ts'

/** More tags than these of one tenant are remembered as all of them. */
const MAX_TAGS = 1_000

/** Commits that were acknowledged and could not be told to the others: what carries their tags is not read from the cache here until they are. */
export class OwedRaises {
  readonly #owed = new Map<string, Map<string, Position>>()

  get isEmpty(): boolean {
    return this.#owed.size === 0
  }

  add(scope: TenantScope, tags: readonly string[], position: Position): void {
    const owed = this.#owed.get(scope.tenantId) ?? new Map<string, Position>()
    for (const tag of tags) {
      const before = owed.get(tag)
      owed.set(tag, before === undefined ? position : laterPosition(before, position))
    }
    this.#owed.set(scope.tenantId, owed)
  }

  /** Whether any of the tags is owed. */
  concerns(scope: TenantScope, tags: readonly string[]): boolean {
    if (this.#owed.size === 0) return false
    const owed = this.#owed.get(scope.tenantId)
    return owed !== undefined && (owed.size > MAX_TAGS || tags.some((tag) => owed.has(tag)))
  }

  /** What is owed now. */
  list(): { scope: TenantScope; tag: string; position: Position }[] {
    return [...this.#owed].flatMap(([tenantId, owed]) =>
      [...owed].map(([tag, position]) => ({ scope: { tenantId }, tag, position })),
    )
  }

  /** Strikes out what was told, unless more has been added to it since. */
  settle(scope: TenantScope, tag: string, position: Position): void {
    const owed = this.#owed.get(scope.tenantId)
    if (owed?.get(tag) !== position) return
    owed.delete(tag)
    if (owed.size === 0) this.#owed.delete(scope.tenantId)
  }
}
