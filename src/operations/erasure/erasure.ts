import type { SeriesId } from '../../metrics/metrics-engine.ts'
import type { NameHashes } from './name-hashes.ts'

/** A tenant with everything that belongs to it. */
export interface TenantSubject {
  readonly kind: 'tenant'
  readonly tenantId: string
}

/** A person: by API keys, and by the names under which actions were noted. */
export interface UserSubject {
  readonly kind: 'user'
  /** Of the keys, and of what was noted under their names; `undefined` where there are none. */
  readonly tenantId?: string
  readonly keyIds: readonly string[]
  /** Of people who are known by their e-mail address, from another system. */
  readonly accountIds: readonly string[]
  /** Of actors such as `key:NAME`, in that tenant only. */
  readonly inTenant: NameHashes
  /** Of actors such as `operator:NAME`, everywhere. */
  readonly everywhere: NameHashes
}

/** Series of one tenant, by source. */
export interface SeriesSubject {
  readonly kind: 'series'
  readonly tenantId: string
  readonly sources: readonly { readonly id: string; readonly series: readonly SeriesId[] }[]
}

/** What is erased: ids, and slow salted hashes of names, so that whoever reads it learns nothing of what is gone. */
export type ErasureSubject = TenantSubject | UserSubject | SeriesSubject

/** An entry of the ledger: enough to do an erasure again on a database that was restored from before it. */
export interface Erasure {
  readonly id: string
  /** Of the installation: a ledger that lies beside another one's database is not for that. */
  readonly installationId: string
  /** ISO 8601. */
  readonly requestedAt: string
  readonly subject: ErasureSubject
}

/** What an erasure has removed or changed, by what it is: rows, points, keys of Redis. */
export type ErasedCounts = Readonly<Record<string, number>>

/** What took the place of the name of a person, wherever it was noted who did something. */
export function pseudonymOf({ id }: Pick<Erasure, 'id'>): string {
  return `erased:${id.slice(0, 8)}`
}

/** Adds counts of the same things together. */
export function addCounts(...all: readonly ErasedCounts[]): Record<string, number> {
  const sum: Record<string, number> = {}
  for (const counts of all)
    for (const [name, count] of Object.entries(counts)) sum[name] = (sum[name] ?? 0) + count
  return sum
}
