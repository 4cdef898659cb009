import { each } from '../restored-databases.ts'
import type { ProofCheck } from '../proof-check.ts'

/** Looks whether PostgreSQL has come upon a page whose checksum is wrong: to be asked after everything was read. */
export const dataChecksums: ProofCheck = {
  name: 'page checksums',
  shows: 'no page that was read had a wrong checksum',
  async run(context) {
    for (const { client, name } of each(context)) {
      const { rows } = await client.query<{ enabled: string; failures: number }>(
        `select current_setting('data_checksums') as enabled,
           (select coalesce(sum(checksum_failures), 0)::float8 from pg_stat_database) as failures`,
      )
      const { enabled, failures } = rows[0]!
      if (failures > 0)
        return { verdict: 'fail', says: `${failures} pages of the ${name} database have a wrong checksum.` }
      if (enabled !== 'on')
        return {
          verdict: 'warn',
          says: `The server of the ${name} database keeps no checksums of its pages (data_checksums): a change on disk may go unseen. \`pg_checksums --enable\` turns them on.`,
        }
    }
    return { verdict: 'ok', says: 'Checksums are kept, and all that were looked at are right.' }
  },
}
