import type { BackupEngine, BackupProgress, RestoreTarget } from '../backup-engine.ts'
import type { RestoredAddresses } from './restored-databases.ts'

/** What is put to the proof. */
export interface DrillAim {
  /** The newest that will do otherwise. */
  readonly backupId: string | undefined
  readonly target: RestoreTarget
}

/** How the installation and its backups stand as a drill begins. */
export interface DrillStart {
  /** Everything that was committed by now, where the installation runs; what is stored otherwise. */
  readonly target: RestoreTarget
  /** When the newest piece of log was stored, or the newest snapshot made: what was committed later would be lost if all else were, now. */
  readonly storedUntil: Date | undefined
}

/** A backup that was restored, as far as it concerns a report. */
export interface RestoredBackup {
  readonly database: 'core' | 'metrics'
  readonly id: string
  readonly endedAt: Date
  readonly bytes: number | undefined
}

/** Restored databases that answer. */
export interface BroughtUp extends AsyncDisposable {
  readonly addresses: RestoredAddresses
  readonly backups: readonly RestoredBackup[]
  /** Commit of the newest transaction that was replayed. */
  readonly recoveredTo: Date | undefined
  /** Why not all of the log that is stored was replayed; `undefined` where it was. */
  readonly shortfall: string | undefined
}

export interface DrillWork {
  readonly signal: AbortSignal
  readonly progress: (progress: BackupProgress) => void
}

/** Where backups are restored for a drill, and how. */
export interface DrillSite {
  readonly engine: BackupEngine['name']
  /** Where the backups are, in words, without secrets. */
  readonly place: string
  /** What a drill cannot show here, sentences for its report. */
  readonly limits: readonly string[]
  /** Has everything that was committed by now stored, where the installation runs. */
  begin(name: string, signal: AbortSignal): Promise<DrillStart>
  /** Restores into a folder that is the drill's alone. @throws NomalyError where it does not come up. */
  bringUp(folder: string, aim: DrillAim, work: DrillWork): Promise<BroughtUp>
}
