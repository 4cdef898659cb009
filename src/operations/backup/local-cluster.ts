import type { Lineage } from '../../database/log-archive.ts'

/** The cluster on this machine that is backed up, or that a backup is restored beside. */
export interface LocalCluster {
  /** Real path of its data directory; `undefined` where there is none. */
  directory(): Promise<string | undefined>
  /** The administrator's address. @throws NomalyError `unavailable` where it does not run. */
  adminUrl(): Promise<string>
  /** Has the server put finished log into the archive's folder from now on. */
  keepLog(lineage: Lineage): Promise<void>
  /** Makes a data directory in a new folder: `fill` fills it, then it is given to the account that its server runs as. Answers its real path. */
  place(folder: string, postgresMajor: number, fill: (directory: string) => Promise<void>): Promise<string>
}
