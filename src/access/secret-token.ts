import { createHash, randomBytes } from 'node:crypto'

/** A new secret of 256 random bits with a prefix that tells what it is, and the hash that is stored instead of it. */
export function createSecretToken(prefix: string): { readonly token: string; readonly hash: Buffer } {
  const token = `${prefix}_${randomBytes(32).toString('base64url')}`
  return { token, hash: hashSecretToken(token) }
}

/** SHA-256: fast is right here, since a token of 256 random bits cannot be guessed whatever a guess costs. */
export function hashSecretToken(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
