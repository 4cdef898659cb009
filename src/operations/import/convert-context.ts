import type { LocalTime } from './local-time.ts'
import type { SourceValue } from './source.ts'

/** What a row needs to know of the rest of its source and of the options. */
export interface ConvertContext {
  /** Of naive times; those of training jobs are apart. */
  readonly zone: LocalTime
  readonly jobsZone: LocalTime
  /** Stands in for a time that the source does not have. */
  readonly modifiedAt: string
  /** Where rows of no tenant go, and all rows with `--tenant`. */
  readonly tenantId: string
  /** Whether everything goes into one tenant. */
  readonly isOneTenant: boolean
  /** Where rows of a tenant of the source go. @throws RowProblem where nobody knows that tenant. */
  readonly tenantOf: (sourceTenant: SourceValue | undefined) => string
  /** The tenants in which a user of the source has a grant. */
  readonly tenantsOfUser: (userId: string) => readonly string[]
  /** The name of a role of the source by its id. */
  readonly roleName: (roleId: string) => string | undefined
  /** Whether the source never kept datasets, so that one is made for each id that a result names. */
  readonly makesDatasets: boolean
}
