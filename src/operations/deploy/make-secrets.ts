import { randomBytes } from 'node:crypto'
import { type ClusterSecrets, SECRET_NAMES } from './cluster.ts'

/** Makes what is missing of a cluster's passwords: 24 random bytes each, base64url, so that they need no quoting anywhere. */
export function makeSecrets(known: Partial<ClusterSecrets> = {}): ClusterSecrets {
  const entries = SECRET_NAMES.map(
    (name) => [name, known[name] ?? randomBytes(24).toString('base64url')] as const,
  )
  return Object.fromEntries(entries) as Record<keyof ClusterSecrets, string>
}
