import pg from 'pg'
import { NomalyError } from '../../../errors.ts'

/**
 * Has the server hand its finished log to this command from now on.
 * @throws NomalyError `conflict` where it hands it to another one, or has to be started anew first.
 */
export async function ensureArchiving(client: pg.Client, command: string): Promise<void> {
  const { rows } = await client.query<{ mode: string; level: string; command: string; module: string }>(
    `select current_setting('archive_mode') as mode, current_setting('wal_level') as level,
       current_setting('archive_command') as command, coalesce(current_setting('archive_library', true), '') as module`,
  )
  const now = rows[0]!
  if (now.module !== '' || (now.mode !== 'off' && isForeign(now.command)))
    throw new NomalyError('conflict', 'The server already hands its log to something else.', {
      hint: `Take archive_command or archive_library back, or set archive_command to: ${command}`,
    })
  if (now.mode !== 'off' && now.level !== 'minimal') {
    if (now.command === command) return
    await client.query(`alter system set archive_command = ${pg.escapeLiteral(command)}`)
    await client.query('select pg_reload_conf()')
    return
  }
  for (const [name, value] of [
    ['archive_mode', 'on'],
    ['wal_level', 'replica'],
    ['archive_command', command],
  ] as const)
    await client.query(`alter system set ${name} = ${pg.escapeLiteral(value)}`)
  throw new NomalyError('conflict', 'The server has to be started anew before its log can be kept.', {
    hint: 'archive_mode is set, and holds from its next start on: restart PostgreSQL, then call this again.',
  })
}

function isForeign(command: string): boolean {
  return command !== '' && command !== '(disabled)' && !/\bpgbackrest\b.*\barchive-push\b/.test(command)
}
