import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'

/** As many as PostgreSQL takes. */
const ITERATIONS = 4096

/**
 * What PostgreSQL keeps of a password (RFC 5802, RFC 7677), for ASCII ones: given this in its place, the server never has it in a statement, and
 * so not in a log. `salt` has 16 random bytes.
 */
export function scramVerifier(password: string, salt: Buffer): string {
  const salted = pbkdf2Sync(password, salt, ITERATIONS, 32, 'sha256')
  const keyOf = (name: string): Buffer => createHmac('sha256', salted).update(name).digest()
  const stored = createHash('sha256').update(keyOf('Client Key')).digest('base64')
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${stored}:${keyOf('Server Key').toString('base64')}`
}
