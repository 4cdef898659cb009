/** Ids and names of what a tenant has; each route is called with them. */
export interface TenantThings {
  readonly datasetId: string
  readonly datasetName: string
  readonly seriesId: number
  readonly detectorId: string
  readonly jobId: string
  readonly runId: string
  readonly anomalyId: string
  readonly keyId: string
  readonly sessionId: string
  readonly flagKey: string
  /** One that takes parts, with part 1. */
  readonly backfillId: string
  /** Of each list that has one, by path. */
  readonly cursor: (path: string) => string
}
