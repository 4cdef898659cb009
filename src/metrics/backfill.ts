import type { RejectedLine } from '../ingestion/parsed-points.ts'
import type { PointBatch, SeriesSource } from './metrics-engine.ts'

/**
 * `receiving`: parts come. `merging`: all have come, and are put where points are. `failed`: that did not succeed, and may be tried again
 * by finishing it again. `cancelled`: nothing more is done, what was merged stays.
 */
export type BackfillStatus = 'receiving' | 'merging' | 'completed' | 'failed' | 'cancelled'

/** Statuses from which nothing happens any more. */
export const ENDED_STATUSES: readonly BackfillStatus[] = ['completed', 'cancelled']

export interface Backfill {
  readonly id: string
  readonly source: SeriesSource
  readonly status: BackfillStatus
  readonly partsReceived: number
  /** `undefined` until it is finished. */
  readonly partsTotal: number | undefined
  /** Points that were received and not refused. */
  readonly points: number
  readonly rejectedTotal: number
  readonly windowsDone: number
  /** `undefined` until they are laid out. */
  readonly windowsTotal: number | undefined
  readonly inserted: number
  /** These two as an append of the parts in their order would count them. */
  readonly duplicates: number
  readonly conflicting: number
  /** Points that retention has passed between their arrival and their turn. */
  readonly expired: number
  readonly error: { readonly message: string; readonly hint: string | undefined } | undefined
  readonly createdAt: Date
  readonly endedAt: Date | undefined
}

/** A part of a backfill as it comes: points in columns, and what was refused of it before. */
export interface BackfillPart extends Omit<PointBatch, 'source'> {
  /** From 1. */
  readonly number: number
  /** SHA-256 of the bytes that the part was read from, before compression. */
  readonly digest: Uint8Array
  /** Line of each point. */
  readonly lines: Uint32Array
  readonly rejected: readonly RejectedLine[]
  readonly rejectedTotal: number
}

/** What became of a part, and becomes of it each time it is sent. */
export interface BackfillPartReport {
  readonly number: number
  /** In hexadecimal. */
  readonly digest: string
  readonly points: number
  /** At most 100, by line. */
  readonly rejected: readonly RejectedLine[]
  readonly rejectedTotal: number
}

/** What one step of merging came to. `busy`: another process is at it. */
export interface BackfillStep {
  readonly outcome: 'merged' | 'completed' | 'ended' | 'busy'
  readonly inserted: number
}
