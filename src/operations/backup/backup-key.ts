import { createHmac, hash, hkdfSync } from 'node:crypto'
import { NomalyError } from '../../errors.ts'

/** Bytes of the key that everything stored is encrypted with. */
const KEY_BYTES = 32

/** The key of an installation's backups. Whoever has it and the target has all data. */
export class BackupKey {
  readonly #bytes: Buffer
  /** Tells keys apart, and says nothing about them. */
  readonly id: string

  private constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.id = hash('sha256', Buffer.concat([Buffer.from('nomaly backup key '), bytes])).slice(0, 16)
  }

  /**
   * Reads a key as it is printed: 32 bytes, base64url, spaces and dashes at its ends aside.
   * @throws NomalyError `invalid_input`.
   */
  static parse(text: string): BackupKey {
    const bytes = Buffer.from(text.trim(), 'base64url')
    if (bytes.length !== KEY_BYTES || bytes.toString('base64url') !== text.trim())
      throw new NomalyError('invalid_input', 'What was given as the key of the backups is none.', {
        hint: 'It is the line of 43 letters, digits, dashes and underscores that `nomaly backup key` printed. NOMALY_BACKUP_KEY_FILE names a file with it.',
      })
    return new BackupKey(bytes)
  }

  /** A key for one purpose (RFC 5869). */
  derive(purpose: string): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#bytes, '', `nomaly backup: ${purpose}`, KEY_BYTES))
  }

  /** A mark on a text that only who has the key can make. */
  sign(text: string): string {
    return createHmac('sha256', this.derive('records')).update(text).digest('base64url')
  }
}
