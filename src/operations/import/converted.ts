import type { SourceValue } from './source.ts'
import type { TargetRow } from './target-table.ts'

/** Why a row is set aside. */
export type Reason =
  | 'unrecoverable_id'
  | 'detector_missing'
  | 'dataset_missing'
  | 'tenant_missing'
  | 'user_missing'
  | 'unreadable'
  | 'unstorable'
  | 'differs'
  | 'taken'
  | 'conflicting_point'

/** A row of a source as it is to be stored. */
export interface Converted {
  readonly place: bigint
  readonly sourceId: string
  readonly tenantId: string
  /** What has to be there before it. */
  readonly before: readonly TargetRow[]
  readonly row: TargetRow
  /** What comes of it: stored only where the row itself is. */
  readonly after: readonly TargetRow[]
  /** What it speaks of: set aside where that is not there. */
  readonly needs: readonly Need[]
  /** Sentences on what was filled in. */
  readonly fills: readonly string[]
  /** The source's columns, without what is secret: what is kept where it is set aside. */
  readonly record: () => string
}

/** A row that another one speaks of. */
export interface Need {
  readonly table: 'datasets' | 'detectors' | 'users'
  readonly id: string
  readonly reason: Reason
}

/** A row of a source that cannot be taken over without guessing. */
export interface Refused {
  readonly place: bigint
  readonly sourceId: string | undefined
  readonly tenantId: string
  readonly reason: Reason
  readonly detail: string
  readonly record: string
}

/** Thrown while a row is converted: it is set aside. */
export class RowProblem extends Error {
  readonly reason: Reason

  constructor(reason: Reason, detail: string) {
    super(detail)
    this.reason = reason
  }
}

/** What is said of a source's id in a report. */
export function idText(value: SourceValue | undefined): string | undefined {
  if (value === null || value === undefined || value instanceof Uint8Array) return undefined
  return String(value).slice(0, 400)
}
