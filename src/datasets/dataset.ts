import type { RetentionClass } from '../metrics/metrics-engine.ts'

/** A named source of metric series. */
export interface Dataset {
  readonly id: string
  readonly name: string
  readonly description: string
  readonly retention: RetentionClass
  readonly metadata: Readonly<Record<string, unknown>>
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** What a dataset's name may be: it stands in paths, so a UUID is not one. */
export const DATASET_NAME =
  /^(?![0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$)[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/

/** The dataset in which the product records its own machine and database. */
export const SELF_DATASET_NAME = 'nomaly'
