import { existsSync, realpathSync } from 'node:fs'
import { dirname, isAbsolute, join, relative, resolve } from 'node:path'
import type { Config } from '../../../config/profiles.ts'
import { invalidField, NomalyError } from '../../../errors.ts'
import type { BackupTarget } from './backup-target.ts'
import { FolderTarget } from './folder-target.ts'
import { S3Target } from './s3-target.ts'

/** The settings that say where backups are. */
export type TargetConfig = Pick<
  Config,
  | 'dataDirectory'
  | 'backupTarget'
  | 'backupS3Endpoint'
  | 'backupS3Region'
  | 'backupS3AccessKey'
  | 'backupS3SecretKey'
  | 'backupS3SessionToken'
>

/** The target that NOMALY_BACKUP_TARGET names. @throws NomalyError `invalid_input` where there is none, or none that will do. */
export function openTarget(config: TargetConfig, clock: () => number = Date.now): BackupTarget {
  const { backupTarget } = config
  if (backupTarget === undefined)
    throw new NomalyError('invalid_input', 'It is not said where backups are to be kept.', {
      hint: 'Set NOMALY_BACKUP_TARGET to a folder on another disk, or to s3://bucket/prefix.',
    })
  if (backupTarget.startsWith('s3://')) return openBucket(config, backupTarget)
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(backupTarget))
    throw invalidField('NOMALY_BACKUP_TARGET', 'must be a folder or s3://bucket/prefix')
  const folder = resolve(backupTarget)
  if (isWithin(realOf(resolve(config.dataDirectory)), realOf(folder)))
    throw invalidField(
      'NOMALY_BACKUP_TARGET',
      'is in the data folder: what loses that would lose the backups, and the key would lie beside them',
      'Name a folder elsewhere, best on another disk.',
    )
  return new FolderTarget(folder, clock)
}

function openBucket(config: TargetConfig, address: string): S3Target {
  const [, bucket, path = ''] = /^s3:\/\/([^/]+)(?:\/(.*))?$/.exec(address) ?? []
  const { backupS3AccessKey, backupS3SecretKey } = config
  if (bucket === undefined || !/^[a-z0-9][a-z0-9.-]{1,62}$/.test(bucket))
    throw invalidField('NOMALY_BACKUP_TARGET', 'has no name of a bucket: s3://bucket/prefix')
  if (backupS3AccessKey === undefined || backupS3SecretKey === undefined)
    throw new NomalyError('invalid_input', 'For backups in a bucket its keys are needed.', {
      hint: 'Set NOMALY_BACKUP_S3_ACCESS_KEY and NOMALY_BACKUP_S3_SECRET_KEY, or their _FILE.',
    })
  const prefix = path.replaceAll(/^\/+|\/+$/g, '')
  return new S3Target({
    bucket,
    prefix: prefix === '' ? '' : `${prefix}/`,
    endpoint: config.backupS3Endpoint,
    region: config.backupS3Region,
    accessKeyId: backupS3AccessKey,
    secretAccessKey: backupS3SecretKey,
    sessionToken: config.backupS3SessionToken,
  })
}

/** With links resolved as far as the path exists. */
function realOf(path: string): string {
  if (existsSync(path)) return realpathSync(path)
  return dirname(path) === path ? path : join(realOf(dirname(path)), path.slice(dirname(path).length))
}

function isWithin(folder: string, path: string): boolean {
  const way = relative(folder, path)
  return way === '' || (!way.startsWith('..') && !isAbsolute(way))
}
