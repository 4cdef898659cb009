import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { writePrivateFile } from '../../../database/data-folder.ts'

/** The key of the repository: the one that was given, or that of the data folder, which is made when it is first asked for. */
export async function findCipherPass(dataDirectory: string, given: string | undefined): Promise<string> {
  if (given !== undefined) return given
  const folder = join(dataDirectory, 'secrets')
  const path = join(folder, 'pgbackrest-cipher-pass')
  const read = async (): Promise<string> => (await readFile(path, 'utf8').catch(() => '')).trim()
  const there = await read()
  if (there !== '') return there
  // As the data folder is made otherwise: the server's user passes through to the configuration.
  await mkdir(dataDirectory, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 })
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  await writePrivateFile(draft, `${randomBytes(32).toString('base64url')}\n`)
  // A link never replaces: of two first uses at once, both get the key of the one that came first.
  await link(draft, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  await rm(draft, { force: true })
  return await read()
}
