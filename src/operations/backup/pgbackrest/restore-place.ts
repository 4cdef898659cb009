import { chmod, chown, mkdir, readdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { explainFileError } from '../../../database/data-folder.ts'
import { firstBarrier, type ServerAccount } from '../../../database/server-account.ts'
import { NomalyError } from '../../../errors.ts'

/**
 * Makes the empty data directory that is restored to, in a folder; answers its real path.
 * @throws NomalyError `conflict` where there is something in it, `unavailable` where the server's user cannot reach it.
 */
export async function makePlace(folder: string, account: ServerAccount): Promise<string> {
  const directory = join(folder, 'postgres')
  try {
    // Root's server runs under another user, who has to pass through.
    await mkdir(folder, { recursive: true, mode: account.switched ? 0o711 : 0o700 })
    await mkdir(directory, { recursive: true, mode: 0o700 })
    if ((await readdir(directory)).length > 0)
      throw new NomalyError('conflict', `${directory} is not empty.`, { hint: 'Name a new folder.' })
    if (account.switched) await chown(directory, account.uid, account.gid)
    await chmod(directory, 0o700)
    const barrier = await firstBarrier(folder, account)
    if (barrier === undefined) return await realpath(directory)
    throw new NomalyError('unavailable', `The user of the database cannot pass through ${barrier}.`, {
      hint: `Run \`chmod a+x ${barrier}\`, or name another folder.`,
    })
  } catch (error) {
    throw explainFileError(error, folder)
  }
}
