import type { JsonValue } from './flag.ts'

/** Why a flag has come out as it did, in OpenFeature's words. */
export type EvaluationReason = 'STATIC' | 'TARGETING_MATCH' | 'SPLIT' | 'DISABLED' | 'DEFAULT' | 'ERROR'

export type EvaluationErrorCode =
  | 'FLAG_NOT_FOUND'
  | 'TARGETING_KEY_MISSING'
  | 'PARSE_ERROR'
  | 'PROVIDER_NOT_READY'

/** Whom a flag is evaluated for: who it is, and whatever rules may ask of them. */
export interface FlagContext {
  /** Says who it is, the same at each call: a user's id, above all. */
  readonly targetingKey?: string | undefined
  readonly [attribute: string]: unknown
}

/** What has come out; `value` is `undefined` where the caller's own default holds. Shared and frozen. */
export interface Evaluation {
  readonly value: JsonValue | undefined
  readonly variant: string | undefined
  readonly reason: EvaluationReason
  readonly errorCode?: EvaluationErrorCode
  readonly errorMessage?: string
}

/** An evaluation that failed. */
export function failedEvaluation(errorCode: EvaluationErrorCode, errorMessage: string): Evaluation {
  return Object.freeze({ value: undefined, variant: undefined, reason: 'ERROR', errorCode, errorMessage })
}

export const FLAG_NOT_FOUND = failedEvaluation('FLAG_NOT_FOUND', 'There is no such flag.')
