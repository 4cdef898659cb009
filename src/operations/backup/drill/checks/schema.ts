import { type MigrationSet, readChecksums } from '../../../../database/migration-files.ts'
import { each } from '../restored-databases.ts'
import { LISTED, type ProofCheck } from '../proof-check.ts'

/** Whether this version of the product can work on the databases. */
export const schema: ProofCheck = {
  name: 'schema',
  shows: 'this version knows every migration that was applied',
  async run(context) {
    const unknown: string[] = []
    let applied = 0
    for (const { client, name: database } of each(context)) {
      const { rows } = await client.query<{ set: string; name: string; sha256: string }>(
        'select set_name as set, name, sha256 from nomaly.migration_checksums order by 1, 2',
      )
      applied += rows.length
      const known = new Map<string, ReadonlyMap<string, string>>()
      for (const { set, name, sha256 } of rows) {
        if (!known.has(set)) known.set(set, await readChecksums(set as MigrationSet).catch(() => new Map()))
        if (known.get(set)!.get(name) !== sha256) unknown.push(`${database}: ${set}/${name}`)
      }
    }
    if (applied === 0) return { verdict: 'fail', says: 'There is no schema of this product.' }
    if (unknown.length > 0)
      return {
        verdict: 'fail',
        says: 'The databases are of another version than this program: restore them with that one.',
        details: unknown.slice(0, LISTED),
      }
    return { verdict: 'ok', says: `${applied} migrations, all of them known.` }
  },
}
