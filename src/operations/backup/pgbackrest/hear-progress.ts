import type { BackupProgress, BackupWork } from '../backup-engine.ts'

/** Hears how far pgBackRest is, which it says behind each file. */
export function hearProgress(
  phase: BackupProgress['phase'],
  totalBytes: number,
  progress: BackupWork['progress'],
): (line: string) => void {
  return (line) => {
    const [, percent] = /(?:backup|restore) file .*, ([\d.]+)%\)/.exec(line) ?? []
    if (percent !== undefined)
      progress?.({ phase, doneBytes: Math.round((Number(percent) / 100) * totalBytes), totalBytes })
  }
}
