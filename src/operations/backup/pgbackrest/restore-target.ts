import { parseLsn } from '../../../database/replicas/lsn.ts'
import type { Backup, RestoreTarget } from '../backup-engine.ts'

/** Whether a restore of a backup reaches a target. Of a named point nobody knows where it is. */
export function isReached(target: RestoreTarget, backup: Backup): boolean {
  if (target.kind === 'time') return Date.parse(backup.endedAt) <= target.ms
  return target.kind !== 'lsn' || parseLsn(backup.endLsn) <= parseLsn(target.lsn)
}

/** What pgBackRest is told of a target. */
export function targetOptions(target: RestoreTarget): string[] {
  const promote = '--target-action=promote'
  switch (target.kind) {
    case 'latest':
      return []
    case 'immediate':
      return ['--type=immediate', promote]
    case 'time':
      return [
        '--type=time',
        `--target=${new Date(target.ms).toISOString().replace('T', ' ').replace('Z', '+00')}`,
        promote,
      ]
    case 'lsn':
      return ['--type=lsn', `--target=${target.lsn}`, promote]
    case 'name':
      return ['--type=name', `--target=${target.name}`, promote]
  }
}
