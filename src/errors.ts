/** What can go wrong, by kind. The HTTP status of each stands in {@link HTTP_STATUS}. */
export type ErrorCode = keyof typeof HTTP_STATUS

/** The one table from error code to HTTP status. */
export const HTTP_STATUS = {
  invalid_input: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  under_way: 409,
  precondition_failed: 412,
  too_large: 413,
  unsupported_media_type: 415,
  key_reused: 422,
  rate_limited: 429,
  internal: 500,
  unavailable: 503,
  overloaded: 503,
  unknown_outcome: 503,
  timeout: 504,
} as const

/** One field of an input that was refused, and why. */
export interface FieldProblem {
  /** Where in the input: a JSON path such as `schedule.cron`, a column or a parameter name. */
  readonly field: string
  /** What was wrong and what is expected, in one sentence. */
  readonly reason: string
}

export interface NomalyErrorOptions {
  /** What the reader can do about it. */
  readonly hint?: string
  readonly problems?: readonly FieldProblem[]
  readonly cause?: unknown
  /** After how many seconds a retry makes sense; becomes `Retry-After` over HTTP. */
  readonly retryAfterSeconds?: number
}

/** The one error type: says what happened (`message`), what kind it is (`code`) and what to do (`hint`). Never carries a secret. */
export class NomalyError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly problems: readonly FieldProblem[]
  readonly retryAfterSeconds: number | undefined

  constructor(code: ErrorCode, message: string, options: NomalyErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'NomalyError'
    this.code = code
    this.hint = options.hint
    this.problems = options.problems ?? []
    this.retryAfterSeconds = options.retryAfterSeconds
  }

  /** The status this error has over HTTP. */
  get httpStatus(): number {
    return HTTP_STATUS[this.code]
  }
}

/** An `invalid_input` error about one field. */
export function invalidField(field: string, reason: string, hint?: string): NomalyError {
  return new NomalyError('invalid_input', `${field}: ${reason}`, {
    problems: [{ field, reason }],
    ...(hint === undefined ? {} : { hint }),
  })
}

/** A `not_found` error that names the noun and the id or name that was asked for. */
export function notFound(noun: string, idOrName: string): NomalyError {
  return new NomalyError('not_found', `There is no ${noun} "${idOrName}".`, {
    hint: `List what there is with \`nomaly ${noun}s list\`.`,
  })
}
