import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../../config/profiles.ts'
import { secret, writePrivateFile } from '../../database/data-folder.ts'
import { NomalyError } from '../../errors.ts'
import { BackupKey } from './backup-key.ts'

const NAME = 'backup-key'

type KeyConfig = Pick<Config, 'dataDirectory' | 'backupKey'>

/** The key of NOMALY_BACKUP_KEY, or the one in the data folder. @throws NomalyError `not_found` where there is none. */
export async function findKey(config: KeyConfig): Promise<BackupKey> {
  const text = await readKeyText(config)
  if (text !== undefined) return BackupKey.parse(text)
  throw new NomalyError(
    'not_found',
    'The key of the backups is not here, and without it nobody can read them.',
    {
      hint: 'Name the file in which you kept what `nomaly backup key` printed: NOMALY_BACKUP_KEY_FILE.',
    },
  )
}

/** As {@link findKey}; makes one for the data folder where there is none. */
export async function findOrMakeKey(config: KeyConfig): Promise<BackupKey> {
  return BackupKey.parse(config.backupKey ?? (await secret(config.dataDirectory, NAME)))
}

/** The key as it is to be kept elsewhere; `undefined` where there is none. */
export async function readKeyText({ dataDirectory, backupKey }: KeyConfig): Promise<string | undefined> {
  if (backupKey !== undefined) return backupKey
  const text = await readFile(join(dataDirectory, 'secrets', NAME), 'utf8').catch(() => '')
  return text.trim() === '' ? undefined : text.trim()
}

/** Whether the key of the data folder has been printed, so that it can be kept elsewhere. One that was given is elsewhere. */
export async function isKeyKept({ dataDirectory, backupKey }: KeyConfig): Promise<boolean> {
  if (backupKey !== undefined) return true
  const noted = await readFile(join(dataDirectory, 'secrets', `${NAME}-printed`), 'utf8').catch(() => '')
  return noted.trim() !== ''
}

/** Notes that it was printed. */
export async function noteKeyKept({ dataDirectory }: KeyConfig, at: Date): Promise<void> {
  await writePrivateFile(join(dataDirectory, 'secrets', `${NAME}-printed`), `${at.toISOString()}\n`)
}
