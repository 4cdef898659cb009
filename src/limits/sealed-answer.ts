import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto'

/** What a repeated request is known by, and what its answer is sealed under. None of it is stored but hashes. */
export interface RepeatKey {
  readonly tenantId: string
  readonly principal: string
  /** The text of `Idempotency-Key`. */
  readonly key: string
  /** The API key that the request came with, '' for a browser. */
  readonly credential: string
}

const IV_BYTES = 12
const TAG_BYTES = 16

/** By what a key is found again: SHA-256. */
export function hashOf({ tenantId, principal, key }: RepeatKey): Buffer {
  return createHash('sha256')
    .update(JSON.stringify(['find', tenantId, principal, key]))
    .digest()
}

/**
 * An answer that only who repeats the request can read: AES-256-GCM under HKDF-SHA256 (RFC 5869) of the idempotency key and the API key, bound
 * to what was asked. Initialisation vector, tag, text.
 */
export function seal(key: RepeatKey, fingerprint: Buffer, text: string): Buffer {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv('aes-256-gcm', secretOf(key), iv).setAAD(fingerprint)
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
  return Buffer.concat([iv, cipher.getAuthTag(), sealed])
}

/** The text of what {@link seal} made. @throws where it was made under another key or for another request. */
export function unseal(key: RepeatKey, fingerprint: Buffer, sealed: Buffer): string {
  const decipher = createDecipheriv('aes-256-gcm', secretOf(key), sealed.subarray(0, IV_BYTES))
    .setAAD(fingerprint)
    .setAuthTag(sealed.subarray(IV_BYTES, IV_BYTES + TAG_BYTES))
  return decipher.update(sealed.subarray(IV_BYTES + TAG_BYTES), undefined, 'utf8') + decipher.final('utf8')
}

function secretOf({ tenantId, principal, key, credential }: RepeatKey): Buffer {
  const material = JSON.stringify([key, credential])
  return Buffer.from(
    hkdfSync('sha256', material, `${tenantId} ${principal}`, 'nomaly idempotency answer', 32),
  )
}
