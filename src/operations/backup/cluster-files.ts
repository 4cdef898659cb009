import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ARCHIVE_FOLDER } from '../../database/log-archive.ts'
import { NomalyError } from '../../errors.ts'

/** Folders whose content is not for a copy (PostgreSQL manual, 25.3.4 Making a Base Backup Using the Low Level API). */
const EMPTIED = new Set([
  'pg_wal',
  'pg_replslot',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_stat_tmp',
  'pg_subtrans',
])

const LEFT_OUT = new Set([
  'postmaster.pid',
  'postmaster.opts',
  'backup_label',
  'backup_label.old',
  'tablespace_map',
  'tablespace_map.old',
  'recovery.signal',
  'standby.signal',
  ARCHIVE_FOLDER,
])

/** Folders that the server wants to find, and that hold nothing in a copy. */
const NEEDED_FOLDERS = ['pg_wal/archive_status', 'pg_wal/summaries']

/** The file that says how far the cluster is: copied last. */
export const CONTROL_FILE = 'global/pg_control'

/** What there is to copy of a cluster. */
export interface ClusterFiles {
  readonly folders: readonly string[]
  /** Below the data directory; the control file last. */
  readonly files: readonly string[]
  readonly bytes: number
}

/**
 * Lists the files of a cluster, running or not, without what PostgreSQL makes anew.
 * @throws NomalyError `conflict` where there are tablespaces outside of the data directory.
 */
export async function listClusterFiles(directory: string): Promise<ClusterFiles> {
  const folders: string[] = []
  const files: string[] = []
  let bytes = 0
  const walk = async (folder: string): Promise<void> => {
    const entries = await readdir(join(directory, folder), { withFileTypes: true }).catch(vanished)
    const unlogged = new Set(entries.flatMap(({ name }) => /^(\d+)_init$/.exec(name)?.[1] ?? []))
    for (const entry of entries) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      if (isLeftOut(path, entry.name, unlogged)) continue
      if (folder === 'pg_tblspc') throw tablespace(entry.name)
      if (entry.isDirectory()) {
        folders.push(path)
        if (!EMPTIED.has(path)) await walk(path)
      } else if (entry.isFile()) {
        const found = await lstat(join(directory, path)).catch(() => undefined)
        if (found === undefined) continue
        files.push(path)
        bytes += found.size
      }
    }
  }
  await walk('')
  const rest = files.filter((path) => path !== CONTROL_FILE)
  return { folders: [...folders, ...NEEDED_FOLDERS], files: [...rest, CONTROL_FILE], bytes }
}

function isLeftOut(path: string, name: string, unlogged: ReadonlySet<string>): boolean {
  if (LEFT_OUT.has(path) || name.startsWith('pgsql_tmp') || name.startsWith('pg_internal.init')) return true
  // Tables of sessions that ended, and tables without log: a restored cluster has them empty.
  if (/^t\d+_\d+/.test(name)) return true
  const relation = /^(\d+)(?:_(?:fsm|vm))?(?:\.\d+)?$/.exec(name)
  return relation !== null && unlogged.has(relation[1]!)
}

/** A table may be dropped while the folders are read. */
function vanished(error: NodeJS.ErrnoException): never[] {
  if (error.code === 'ENOENT') return []
  throw error
}

function tablespace(name: string): NomalyError {
  return new NomalyError(
    'conflict',
    `The cluster has a tablespace (${name}) outside of its data directory.`,
    {
      hint: 'Move its tables back with `alter table … set tablespace pg_default`, and drop it: backups of the embedded server hold the data directory only.',
    },
  )
}
