import type { FastifyReply } from 'fastify'
import { formatPosition, type Position } from '../../database/position.ts'

/** Says where a write stands: a client that sends it back as `Nomaly-Read-After` sees that write, on whatever server. */
export function replyPosition(reply: FastifyReply, position: Position): void {
  void reply.header('nomaly-position', formatPosition(position))
}
