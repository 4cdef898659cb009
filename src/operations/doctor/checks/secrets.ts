import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Check, fail, type Finding, ok } from '../check.ts'

interface Place {
  readonly path: string
  /** Permission bits that must not be set. */
  readonly forbidden: number
  readonly wanted: string
}

export const SECRETS: Check = {
  name: 'secrets',
  on: 'machine',
  looksAt:
    'The permissions of the data folder, of its secrets and of the admin key, and of the files that variables ending in _FILE name.',
  why: 'Whoever can read them is the administrator.',
  async examine({ config, secretFiles }) {
    const places = [
      ...(await inDataFolder(config.dataDirectory)),
      // Groups are how containers hand secrets over.
      ...secretFiles.map(({ path }) => ({ path, forbidden: 0o007, wanted: 'o=' })),
    ]
    const found: Finding[] = []
    let seen = 0
    for (const { path, forbidden, wanted } of places) {
      const mode = await modeOf(path)
      if (mode === undefined) continue
      seen++
      if ((mode & forbidden) !== 0) found.push(complain(path, mode, wanted))
    }
    if (found.length > 0) return found
    return [
      ok(
        seen === 0
          ? 'There are no files with secrets here.'
          : 'Files with secrets are readable by their owner only.',
      ),
    ]
  },
}

async function inDataFolder(folder: string): Promise<Place[]> {
  const secrets = join(folder, 'secrets')
  const names = await readdir(secrets).catch(() => [])
  return [
    // Others may pass through, since root's server runs under another user, but not look around.
    { path: folder, forbidden: 0o066, wanted: 'go=x' },
    { path: secrets, forbidden: 0o077, wanted: 'go=' },
    ...names.map((name) => ({ path: join(secrets, name), forbidden: 0o077, wanted: 'go=' })),
    { path: join(folder, 'admin-key'), forbidden: 0o077, wanted: 'go=' },
    { path: join(folder, 'postgres'), forbidden: 0o027, wanted: 'g=,o=' },
  ]
}

function complain(path: string, mode: number, wanted: string): Finding {
  return fail(
    `${path} has mode ${mode.toString(8).padStart(4, '0')}.`,
    'Other users of this machine can read what only its owner should.',
    `Run \`chmod ${wanted} ${path}\`, and make anew what somebody may have read (\`nomaly keys\`).`,
  )
}

async function modeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mode & 0o777
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return undefined
    throw error
  }
}
