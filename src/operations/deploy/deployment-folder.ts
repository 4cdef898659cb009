import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { randomBytes, X509Certificate } from 'node:crypto'
import { basename, dirname, join } from 'node:path'
import { NomalyError } from '../../errors.ts'
import { type ClusterSecrets, type ConfigFile, SECRET_NAMES } from './cluster.ts'
import type { KeptSecrets, Target } from './deployment.ts'
import { OPEN_CERTIFICATE } from './render-members.ts'

/**
 * Reads what an earlier deployment has left in a folder.
 * @throws NomalyError `conflict` where the folder holds something else.
 */
export async function readDeployment(folder: string, kind: Target['kind']): Promise<KeptSecrets> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw unusable(folder, error)
  })
  if (names.length === 0) return { secrets: {}, authority: undefined }
  const found = await readKind(folder)
  if (found !== kind)
    throw new NomalyError(
      'conflict',
      found === undefined
        ? `The folder ${folder} already holds other things, such as "${names[0]}".`
        : `The folder ${folder} holds a deployment of another kind (${found}).`,
      { hint: 'Choose an empty or a new folder with --folder.' },
    )
  const read = (name: string): Promise<string | undefined> =>
    readFile(join(folder, name), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw unusable(join(folder, name), error)
    })
  const secrets: Partial<Record<keyof ClusterSecrets, string>> = {}
  for (const name of SECRET_NAMES) {
    const secret = (await read(`secrets/${name}`))?.trim()
    if (secret) secrets[name] = secret
  }
  const [certificate, key] = [await read('authority/ca.crt'), await read('authority/ca.key')]
  const authority = certificate === undefined || key === undefined ? undefined : { certificate, key }
  return { secrets, authority }
}

/**
 * Writes files below a folder that only its owner can enter; each is whole at any moment. A certificate for the outside that an operator has put in
 * the place of ours stays.
 */
export async function writeDeployment(folder: string, files: readonly ConfigFile[]): Promise<void> {
  const authority = files.find(({ name }) => name === 'authority/ca.crt')?.text
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await chmod(folder, 0o700)
    for (const { name, text, mode } of files) {
      const path = join(folder, name)
      if (basename(name) === OPEN_CERTIFICATE && (await isForeign(path, authority))) continue
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      const draft = `${path}.${randomBytes(6).toString('hex')}`
      try {
        await writeFile(draft, text, { mode: 0o600, flag: 'wx' })
        await chmod(draft, mode)
        await rename(draft, path)
      } finally {
        await rm(draft, { force: true })
      }
    }
  } catch (error) {
    throw unusable(folder, error)
  }
}

async function isForeign(path: string, authority: string | undefined): Promise<boolean> {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined || authority === undefined) return false
  try {
    return !new X509Certificate(text).verify(new X509Certificate(authority).publicKey)
  } catch {
    return false
  }
}

async function readKind(folder: string): Promise<string | undefined> {
  try {
    return (JSON.parse(await readFile(join(folder, 'deployment.json'), 'utf8')) as { kind?: string }).kind
  } catch {
    return undefined
  }
}

function unusable(path: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code === undefined) return error
  return new NomalyError('unavailable', `${path} cannot be used (${code}).`, {
    hint: 'Choose a folder of your own with --folder.',
    cause: error,
  })
}
