import type { FastifyReply } from 'fastify'
import { formatPosition, type Position } from '../../database/position.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Where what this request has written stands. */
    written: Position | undefined
  }
}

/** Says where a write stands: a client that sends it back as `Nomaly-Read-After` sees that write, on whatever server. A browser's session keeps it. */
export function replyPosition(reply: FastifyReply, position: Position): void {
  reply.request.written = position
  void reply.header('nomaly-position', formatPosition(position))
}
