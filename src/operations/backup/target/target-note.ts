import { NomalyError } from '../../../errors.ts'
import type { BackupTarget } from './backup-target.ts'

const NOTE = 'nomaly-backups.json'

/**
 * Makes sure that a target holds backups of this cluster and of no other; notes it in an empty one.
 * @throws NomalyError `conflict`.
 */
export async function requireOwnTarget(
  target: BackupTarget,
  systemId: string,
  signal: AbortSignal,
): Promise<void> {
  const body = await target.get(NOTE, signal)
  if (body === undefined) {
    if (!(await target.isEmpty(signal)))
      throw new NomalyError('conflict', `${target.place} holds something else than backups of Nomaly.`, {
        hint: 'Name an empty or a new folder, or another prefix, with NOMALY_BACKUP_TARGET.',
      })
    await target.put(NOTE, Buffer.from(`${JSON.stringify({ format: 1, systemId })}\n`), signal)
    return
  }
  let noted: unknown
  try {
    noted = (JSON.parse(body.toString('utf8')) as { systemId: unknown }).systemId
  } catch {
    noted = undefined
  }
  if (noted === systemId) return
  throw new NomalyError('conflict', `${target.place} holds the backups of another database.`, {
    hint: 'Give each installation a folder, or a prefix, of its own with NOMALY_BACKUP_TARGET.',
  })
}
