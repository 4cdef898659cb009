import { loadConfig } from '../../config/load.ts'
import type { Config } from '../../config/profiles.ts'
import type { BackupProgress, BackupWork } from '../../operations/backup/backup-engine.ts'
import type { EmbeddedBackups } from '../../operations/backup/open-backups.ts'
import { openBackups } from '../../operations/backup/open-backups.ts'
import { interruptible } from '../interruption.ts'
import { note } from '../output.ts'
import { Progress } from '../progress.ts'

const TITLES: Readonly<Record<BackupProgress['phase'], string>> = {
  preparing: 'Preparing',
  copying: 'Copying',
  log: 'Log',
  verifying: 'Reading',
  recovering: 'Replaying the log',
  finishing: 'Finishing',
}

/** Does what takes long with the backups of this installation, with a bar, until it is done or interrupted. */
export async function withBackups<T>(
  makesKey: boolean,
  work: (engine: EmbeddedBackups, work: BackupWork, config: Config) => Promise<T>,
): Promise<T> {
  const config = loadConfig()
  await using engine = await openBackups(config, { makesKey, log: note })
  return await interruptible((signal) => withBar((progress) => work(engine, { signal, progress }, config)))
}

/** Shows how far work is. */
export async function withBar<T>(work: (progress: (at: BackupProgress) => void) => Promise<T>): Promise<T> {
  let shown: { readonly phase: BackupProgress['phase']; readonly bar: Progress } | undefined
  const progress = ({ phase, doneBytes, totalBytes }: BackupProgress): void => {
    if (shown?.phase !== phase) {
      shown?.bar.stop()
      shown = { phase, bar: new Progress(TITLES[phase], totalBytes === 0 ? undefined : totalBytes) }
    }
    shown.bar.update(
      doneBytes,
      totalBytes === undefined ? '' : `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`,
    )
  }
  try {
    return await work(progress)
  } finally {
    shown?.bar.stop()
  }
}

/** `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 1024 ** power
  return `${value >= 100 || power === 0 ? Math.round(value) : value.toFixed(1)} ${units[power]}`
}
