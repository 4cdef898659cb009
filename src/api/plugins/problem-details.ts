import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { PATTERN_MEANINGS } from '../schemas/shared.ts'
import { isRefusedValue } from '../../database/database-errors.ts'
import { type FieldProblem, HTTP_STATUS, NomalyError } from '../../errors.ts'

/** RFC 9457, with `hint` and `errors` as extension members. */
export interface ProblemDetails {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly instance: string
  readonly hint?: string
  readonly errors?: readonly FieldProblem[]
}

/** One of the entries of `FastifyError.validation`, as TypeBox fills it. */
interface ValidationEntry {
  readonly keyword?: string
  readonly instancePath?: string
  readonly message?: string
  readonly params?: Readonly<Record<string, unknown>>
}

/** Answers every error, and every unknown path, with a problem document. */
export function registerProblemDetails(app: FastifyInstance): void {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const known = toKnownError(error)
    if (known === undefined) {
      request.log.error({ err: error }, 'unexpected error')
      return sendProblem(
        request,
        reply,
        new NomalyError('internal', 'Something went wrong on the server.', {
          hint: `Its log has the details under the request id ${request.id}.`,
        }),
      )
    }
    // That a caller has gone before it had its answer is no trouble of the server's.
    if (known.httpStatus >= 500)
      request.log[reply.raw.closed ? 'debug' : 'warn']({ err: known.cause ?? known }, known.message)
    return sendProblem(request, reply, known)
  })
  app.setNotFoundHandler((request, reply) =>
    sendProblem(
      request,
      reply,
      new NomalyError('not_found', `There is nothing at ${request.method} ${request.url.split('?')[0]}.`, {
        hint: 'The reference of all routes is at /docs.',
      }),
    ),
  )
}

/** Sends an error as a problem document. */
export function sendProblem(request: FastifyRequest, reply: FastifyReply, error: NomalyError): FastifyReply {
  const status = error.httpStatus
  const problem: ProblemDetails = {
    type: `urn:nomaly:problem:${error.code}`,
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail: error.message,
    instance: request.url.split('?')[0]!,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.problems.length === 0 ? {} : { errors: error.problems }),
  }
  if (error.retryAfterSeconds !== undefined)
    void reply.header('retry-after', Math.ceil(error.retryAfterSeconds))
  if (status === 401) void reply.header('www-authenticate', 'Bearer realm="nomaly"')
  return reply
    .code(status)
    .type('application/problem+json')
    .serializer((payload: unknown) => JSON.stringify(payload))
    .send(problem)
}

function toKnownError(error: FastifyError): NomalyError | undefined {
  if (error instanceof NomalyError) return error
  if (error.name === 'AbortError' || error.name === 'TimeoutError')
    return new NomalyError('timeout', 'The request was given up before it was done.', { cause: error })
  if (error.validation !== undefined) {
    const part = error.validationContext ?? 'body'
    const problems = (error.validation as unknown as ValidationEntry[]).flatMap((entry) =>
      toFieldProblems(entry, part),
    )
    if (problems.length === 0) problems.push({ field: part, reason: 'is not valid' })
    return new NomalyError('invalid_input', `${problems[0]!.field} ${problems[0]!.reason}.`, {
      problems: problems.slice(0, 20),
      hint: 'The reference of all routes is at /docs.',
    })
  }
  // A net below the checks of the routes: what the database would not take is the request's fault, not the server's.
  if (isRefusedValue(error))
    return new NomalyError('invalid_input', 'The database refused a value of the request.', {
      problems: [{ field: 'body', reason: 'holds a value that cannot be stored' }],
      hint: 'Check for unusual characters, dates and numbers.',
      cause: error,
    })
  if (error.statusCode === undefined || error.statusCode >= 500) return undefined
  const code = (Object.keys(HTTP_STATUS) as (keyof typeof HTTP_STATUS)[]).find(
    (candidate) => HTTP_STATUS[candidate] === error.statusCode,
  )
  return new NomalyError(code ?? 'invalid_input', error.message.replace(/\.?$/, '.'), {
    problems: [{ field: error.statusCode === 415 ? 'content-type' : 'body', reason: error.message }],
    cause: error,
  })
}

function toFieldProblems(entry: ValidationEntry, part: string): FieldProblem[] {
  // What `additionalProperties: false` says of each property is said below, by name.
  if (entry.keyword === 'boolean') return []
  const path = (entry.instancePath ?? '').slice(1).replaceAll('/', '.')
  const join = (name: string): string => (path === '' ? name : `${path}.${name}`)
  const { params = {} } = entry
  if (entry.keyword === 'required')
    return (params['requiredProperties'] as string[]).map((name) => ({
      field: join(name),
      reason: 'is missing',
    }))
  if (entry.keyword === 'additionalProperties')
    return (params['additionalProperties'] as string[]).map((name) => ({
      field: join(name.trim() === '' ? JSON.stringify(name) : name.slice(0, 100)),
      reason: 'is not known here',
    }))
  // A pattern says something to programs; its meaning stands in the schema's module.
  const meaning = entry.keyword === 'pattern' ? PATTERN_MEANINGS.get(String(params['pattern'])) : undefined
  return [{ field: path === '' ? part : path, reason: meaning ?? entry.message ?? 'is not valid' }]
}
