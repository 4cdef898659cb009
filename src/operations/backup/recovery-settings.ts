import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { quoteSetting } from '../../database/server-settings.ts'
import type { RestoreTarget } from './backup-engine.ts'

const FILE = 'postgresql.auto.conf'
const BEGIN = '# Recovery, from here on: written by a restore, removed when it is done.'

/** Has PostgreSQL replay the log that stands in `pg_wal` up to the target, then take writes on a timeline of its own (manual, 19.5.6 Recovery Target). */
export async function writeRecovery(directory: string, target: RestoreTarget): Promise<void> {
  await removeRecovery(directory)
  const settings: (readonly [string, string])[] = [
    // All log is in place; what is not there does not come.
    ['restore_command', 'exit 1'],
    ...targetSettings(target),
    ['recovery_target_timeline', 'current'],
    ['recovery_target_action', 'promote'],
    // Nobody is let in before the target is reached.
    ['hot_standby', 'off'],
  ]
  const lines = settings.map(([name, value]) => `${name} = ${quoteSetting(value)}`)
  await appendFile(join(directory, FILE), [BEGIN, ...lines, ''].join('\n'), { mode: 0o600 })
  await writeFile(join(directory, 'recovery.signal'), '', { mode: 0o600 })
}

/** Every setting that {@link writeRecovery} may write. */
export const RECOVERY_SETTINGS = [
  'restore_command',
  'recovery_target',
  'recovery_target_time',
  'recovery_target_lsn',
  'recovery_target_name',
  'recovery_target_timeline',
  'recovery_target_action',
  'hot_standby',
]

/** Takes the settings of a recovery back. */
export async function removeRecovery(directory: string): Promise<void> {
  const path = join(directory, FILE)
  const text = await readFile(path, 'utf8').catch(() => '')
  const at = text.indexOf(BEGIN)
  // Written in place, so that it stays with the account of the server.
  if (at !== -1) await writeFile(path, text.slice(0, at))
}

function targetSettings(target: RestoreTarget): (readonly [string, string])[] {
  switch (target.kind) {
    case 'latest':
      return []
    case 'immediate':
      return [['recovery_target', 'immediate']]
    case 'time':
      // Before the server runs it knows no names of time zones, not even Z.
      return [['recovery_target_time', new Date(target.ms).toISOString().replace('Z', '+00')]]
    case 'lsn':
      return [['recovery_target_lsn', target.lsn]]
    case 'name':
      return [['recovery_target_name', target.name]]
  }
}
