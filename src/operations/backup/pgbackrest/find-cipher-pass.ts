import { mkdir } from 'node:fs/promises'
import { secret } from '../../../database/data-folder.ts'

/**
 * The key of the repository: the one that was given, or that of the data folder, which is made when it is first asked for.
 * @throws NomalyError where it cannot be read.
 */
export async function findCipherPass(dataDirectory: string, given: string | undefined): Promise<string> {
  if (given !== undefined) return given
  // As the data folder is made otherwise: the server's user passes through to the configuration.
  await mkdir(dataDirectory, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 })
  return secret(dataDirectory, 'pgbackrest-cipher-pass')
}
