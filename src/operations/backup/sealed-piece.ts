import { createCipheriv, createDecipheriv, randomFillSync } from 'node:crypto'
import { setImmediate as breathe } from 'node:timers/promises'
import { promisify } from 'node:util'
import { constants, zstdCompress, zstdDecompress } from 'node:zlib'

const compress = promisify(zstdCompress)
const decompress = promisify(zstdDecompress)

/** One byte that says whether it is compressed, the nonce and the tag of AES-256-GCM (NIST SP 800-38D). */
const NONCE_BYTES = 12
const TAG_BYTES = 16
const HEADER_BYTES = 1 + NONCE_BYTES + TAG_BYTES

/** What is encrypted without letting anything else run. */
const SLICE_BYTES = 1024 * 1024

/** Quick, and nearly as small as higher ones: pages of a database are mostly empty space and repetition. */
const LEVEL = { params: { [constants.ZSTD_c_compressionLevel]: 1 } }

/** What was stored is not what was written: it was altered, cut, or is of another key or place. */
export class Unreadable extends Error {}

/** Compresses and encrypts a piece of data. It opens only with the same key, under the same label. */
export async function sealPiece(key: Buffer, label: string, plain: Uint8Array): Promise<Buffer> {
  const packed = await compress(plain, LEVEL)
  const isCompressed = packed.length < plain.length
  const body = isCompressed ? packed : plain
  const sealed = Buffer.allocUnsafe(HEADER_BYTES + body.length)
  sealed[0] = isCompressed ? 1 : 0
  const nonce = randomFillSync(sealed.subarray(1, 1 + NONCE_BYTES))
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  cipher.setAAD(Buffer.from(`${sealed[0]} ${label}`))
  for (let at = 0; at < body.length; at += SLICE_BYTES) {
    if (at > 0) await breathe()
    cipher.update(body.subarray(at, at + SLICE_BYTES)).copy(sealed, HEADER_BYTES + at)
  }
  cipher.final()
  cipher.getAuthTag().copy(sealed, 1 + NONCE_BYTES)
  return sealed
}

/** The data of a piece. @throws Unreadable where it is not exactly what was sealed. */
export async function openPiece(
  key: Buffer,
  label: string,
  sealed: Buffer,
  maxBytes: number,
): Promise<Buffer> {
  if (sealed.length < HEADER_BYTES || sealed[0]! > 1) throw new Unreadable('is cut or altered')
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(1, 1 + NONCE_BYTES))
  decipher.setAAD(Buffer.from(`${sealed[0]} ${label}`))
  decipher.setAuthTag(sealed.subarray(1 + NONCE_BYTES, HEADER_BYTES))
  const body = Buffer.allocUnsafe(sealed.length - HEADER_BYTES)
  try {
    for (let at = 0; at < body.length; at += SLICE_BYTES) {
      if (at > 0) await breathe()
      decipher.update(sealed.subarray(HEADER_BYTES + at, HEADER_BYTES + at + SLICE_BYTES)).copy(body, at)
    }
    decipher.final()
  } catch (cause) {
    throw new Unreadable('is altered, or was written with another key', { cause })
  }
  if (sealed[0] === 0) return body
  return await decompress(body, { maxOutputLength: Math.max(1, maxBytes) })
}
