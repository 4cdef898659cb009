import type { Identity } from '../access/identity.ts'

/** Who it is that limits and repeated requests are kept apart by: one API key, or one browser. */
export function principalOf({ session, keyId }: Identity): string {
  return session === undefined ? `key:${keyId}` : `session:${session.id}`
}
