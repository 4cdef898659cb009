import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { NomalyError } from '../../errors.ts'
import { type ProblemDetails, sendProblem } from './problem-details.ts'

/** Answers what the router refuses before any route is found: a path that cannot be decoded, or a part of it without end. */
export function answerBadPath(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const reason =
    error.code === 'FST_ERR_MAX_PARAM_LENGTH' ? 'has a part that is too long' : 'is not percent-encoded UTF-8'
  sendProblem(
    request,
    reply,
    new NomalyError('invalid_input', `The path ${reason}.`, {
      problems: [{ field: 'path', reason }],
      hint: 'The reference of all routes is at /docs.',
    }),
  )
}

/** Answers bytes that are no HTTP request, and closes the connection: where the next one would begin is unknown. */
export function answerBadHttp(error: NodeJS.ErrnoException, socket: Socket): void {
  // Nobody is there to read an answer.
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  if (socket.writable) {
    const answer = describe(error.code)
    const body = JSON.stringify(answer)
    socket.write(
      [
        `HTTP/1.1 ${answer.status} ${answer.title}`,
        'Content-Type: application/problem+json',
        `Content-Length: ${Buffer.byteLength(body)}`,
        'Connection: close',
        '',
        body,
      ].join('\r\n'),
    )
  }
  socket.destroy(error)
}

function describe(code: string | undefined): ProblemDetails {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return problem(408, 'The request did not arrive in time.', 'request', 'took too long to arrive')
    case 'HPE_HEADER_OVERFLOW':
      return problem(431, 'The headers of the request are too long.', 'headers', 'are longer than 16 KB')
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return problem(
        413,
        'The extensions of a chunk are too long.',
        'body',
        'has chunk extensions that are too long',
      )
    default:
      return problem(400, 'The request is not HTTP.', 'request', 'is not a well-formed HTTP/1.1 request')
  }
}

function problem(status: number, detail: string, field: string, reason: string): ProblemDetails {
  const title = STATUS_CODES[status]!
  // What was asked for is not known: the answer speaks of the server as a whole.
  return {
    type: 'urn:nomaly:problem:invalid_input',
    title,
    status,
    detail,
    instance: '/',
    errors: [{ field, reason }],
  }
}
