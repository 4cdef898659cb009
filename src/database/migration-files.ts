import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hasTable } from './installation.ts'

/** The sets of migrations, each a folder of numbered SQL files with a history of its own; beside `foundation`, which comes before any. */
export type MigrationSet = 'core' | 'metrics-partitioned' | 'metrics-timescale'

/** Where the SQL files stand: beside this module, in the sources as in what is published. */
const MIGRATIONS_DIRECTORY = join(import.meta.dirname, 'migrations')

/** The folder of a set. */
export function migrationFolder(set: MigrationSet | 'foundation'): string {
  return join(MIGRATIONS_DIRECTORY, set)
}

/** The checksum of each file of a set, by its name without the ending, in their order. */
export async function readChecksums(set: MigrationSet | 'foundation'): Promise<Map<string, string>> {
  const directory = migrationFolder(set)
  const files = (await readdir(directory)).filter((file) => file.endsWith('.sql')).toSorted()
  const entries = files.map(async (file) => {
    const text = await readFile(join(directory, file))
    return [file.replace(/\.sql$/, ''), createHash('sha256').update(text).digest('hex')] as const
  })
  return new Map(await Promise.all(entries))
}

/** How the migrations of a database differ from the files of this version; names as `core/0001_…`. */
export interface MigrationDifferences {
  readonly missing: readonly string[]
  readonly changed: readonly string[]
  /** Applied, and not among the files: of a newer version. */
  readonly unknown: readonly string[]
}

interface Applied {
  readonly set: string
  readonly name: string
  readonly sha256: string
}

/** Runs a statement, under that role where one is named. */
type Ask = (text: string, values: readonly unknown[], role?: 'nomaly_owner') => Promise<unknown[]>

/** Compares a database with the files of this version. Of one that was never migrated everything is missing. */
export async function compareMigrations(
  sets: readonly MigrationSet[],
  ask: Ask,
): Promise<MigrationDifferences> {
  const wanted: readonly (MigrationSet | 'foundation')[] = ['foundation', ...sets]
  const applied = await readApplied(wanted, ask)
  const differences = { missing: [] as string[], changed: [] as string[], unknown: [] as string[] }
  for (const set of wanted) {
    const files = await readChecksums(set)
    const ofSet = applied.filter((row) => row.set === set)
    const known = new Map(ofSet.map(({ name, sha256 }) => [name, sha256]))
    for (const [name, sha256] of files) {
      if (!known.has(name)) differences.missing.push(`${set}/${name}`)
      else if (known.get(name) !== sha256) differences.changed.push(`${set}/${name}`)
    }
    differences.unknown.push(
      ...ofSet.filter(({ name }) => !files.has(name)).map(({ name }) => `${set}/${name}`),
    )
  }
  return differences
}

async function readApplied(sets: readonly string[], ask: Ask): Promise<Applied[]> {
  const [table] = (await ask(hasTable('nomaly', 'migration_checksums'), [])) as { exists: boolean }[]
  if (!table!.exists) return []
  return (await ask(
    'select set_name as set, name, sha256 from nomaly.migration_checksums where set_name = any($1) order by 1, 2',
    [sets],
    'nomaly_owner',
  )) as Applied[]
}
