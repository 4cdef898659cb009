import { chown, mkdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { writePrivateFile } from './data-folder.ts'

/** In the data directory: where the server puts finished segments of its log until they are stored elsewhere. */
export const ARCHIVE_FOLDER = 'nomaly-archive'

const NOTE = 'lineage.json'

/** One unbroken run of log. A cluster that was restored begins another one, so that what it writes never meets what the former one wrote. */
export interface Lineage {
  readonly id: string
  /** After how many seconds a segment that something was written to is finished, full or not. */
  readonly segmentSeconds: number
}

/** The run of log that the server of a data directory keeps for backups; `undefined` where it keeps none. */
export async function readLineage(directory: string): Promise<Lineage | undefined> {
  const text = await readFile(join(directory, ARCHIVE_FOLDER, NOTE), 'utf8').catch(() => '')
  try {
    const { id, segmentSeconds } = JSON.parse(text) as Record<string, unknown>
    return typeof id === 'string' && typeof segmentSeconds === 'number' ? { id, segmentSeconds } : undefined
  } catch {
    return undefined
  }
}

/** Notes that the server keeps its log, from when its settings are written next. */
export async function writeLineage(directory: string, lineage: Lineage): Promise<void> {
  const folder = join(directory, ARCHIVE_FOLDER)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  if (process.getuid?.() === 0) {
    const { uid, gid } = await stat(directory)
    await chown(folder, uid, gid)
  }
  await writePrivateFile(join(folder, NOTE), `${JSON.stringify(lineage)}\n`)
}
