import { type TSchema, Type } from 'typebox'
import { DATASET_NAME } from '../../datasets/dataset.ts'
import type { PageRequest } from '../../database/paging.ts'
import { invalidField } from '../../errors.ts'
import { FLAG_KEY } from '../../flags/flag.ts'
import { POINT_LIMITS } from '../../metrics/metrics-engine.ts'

/** RFC 9457. */
export const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    instance: Type.String(),
    hint: Type.Optional(Type.String()),
    errors: Type.Optional(Type.Array(Type.Object({ field: Type.String(), reason: Type.String() }))),
  },
  { $id: 'Problem', description: 'What went wrong, and what to do (RFC 9457)' },
)

const AnyProblem = {
  description: 'What went wrong',
  content: {
    'application/problem+json': { schema: Type.Unsafe<Type.Static<typeof Problem>>(Type.Ref('Problem#')) },
  },
} as const

/** Put into the responses of every route. */
export const problems = { '4xx': AnyProblem, '5xx': AnyProblem } as const

const UUID_PATTERN = '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$'

/** What a text that does not fit a pattern is told, in words. */
export const PATTERN_MEANINGS: ReadonlyMap<string, string> = new Map([
  [UUID_PATTERN, 'is not an id, such as 6f83665a-36c9-4bcf-85fd-05d11ce010b4'],
  [
    DATASET_NAME.source,
    'must be 1 to 100 letters, digits, dots, dashes and underscores, start with a letter or digit, and not be a UUID',
  ],
  [
    FLAG_KEY.source,
    'must be 1 to 100 lower-case letters, digits, dots, dashes and underscores, and start with a letter or digit',
  ],
])

export const Uuid = Type.String({
  pattern: UUID_PATTERN,
  maxLength: 36,
  description: 'A UUID',
})
export const FlagKey = Type.String({
  pattern: FLAG_KEY.source,
  maxLength: 100,
  description: 'The key of a flag',
})
export const Time = Type.String({ format: 'date-time' })
export const NullableTime = Type.Union([Time, Type.Null()])
export const Tags = Type.Record(
  Type.String({ minLength: 1, maxLength: POINT_LIMITS.maxTagKeyLength }),
  Type.String({ maxLength: POINT_LIMITS.maxTagValueLength }),
  { maxProperties: POINT_LIMITS.maxTags },
)
export const IdParams = Type.Object({ id: Uuid })
export const SeriesParams = Type.Object({ id: Type.Integer({ minimum: 1, maximum: 2_147_483_647 }) })
export const DatasetParams = Type.Object({
  dataset: Type.String({ minLength: 1, maxLength: 100, description: 'Id or name of a dataset' }),
})
export const PageQuery = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, default: 50 })),
  cursor: Type.Optional(Type.String({ maxLength: 1000, description: 'nextCursor of the page before' })),
}

/** The schema of one page of a list. */
// eslint-disable-next-line typescript/explicit-function-return-type -- the schema's type is that of the item's
export function pageOf<T extends TSchema>(item: T) {
  return Type.Object({ items: Type.Array(item), nextCursor: Type.Union([Type.String(), Type.Null()]) })
}

/** Which page a query asks for. */
export function pageRequest(query: { limit?: number; cursor?: string }): PageRequest {
  return { limit: query.limit ?? 50, cursor: query.cursor }
}

/** The text of an instant: ISO 8601, or epoch milliseconds. */
export const Instant = Type.String({ maxLength: 40, description: 'ISO 8601, or milliseconds since 1970' })

/**
 * Epoch milliseconds of an instant.
 * @throws NomalyError `invalid_input` naming the field.
 */
export function parseInstant(field: string, text: string): number {
  const ms = /^-?\d{1,16}(\.\d+)?$/.test(text) ? Number(text) : parseIso(text)
  if (Number.isNaN(ms))
    throw invalidField(field, `"${text.slice(0, 40)}" is neither ISO 8601 nor milliseconds since 1970`)
  return Math.min(Math.max(ms, POINT_LIMITS.minTimeMs), POINT_LIMITS.maxTimeMs)
}

/** A range of time from two optional instants; everything where they are left out. */
export function parseRange(query: { from?: string; to?: string }): { fromMs: number; toMs: number } {
  const fromMs = query.from === undefined ? POINT_LIMITS.minTimeMs : parseInstant('from', query.from)
  const toMs = query.to === undefined ? POINT_LIMITS.maxTimeMs : parseInstant('to', query.to)
  if (toMs < fromMs) throw invalidField('to', 'lies before from')
  return { fromMs, toMs }
}

/** ISO 8601; what names no zone is UTC, whatever zone the machine is in. */
function parseIso(text: string): number {
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(Z|[+-]\d\d:?\d\d)?)?$/i.exec(
    text,
  )
  if (match === null) return Number.NaN
  const [, date, clock = '00:00', zone = 'Z'] = match
  return Date.parse(`${date}T${clock}${zone.toUpperCase()}`)
}
