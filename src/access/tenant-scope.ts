/** Whose data a call may see: every read and write of tenant data takes one. */
export interface TenantScope {
  /** UUID of the tenant. */
  readonly tenantId: string
}
