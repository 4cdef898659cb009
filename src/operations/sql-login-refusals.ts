import { sqlState } from '../database/database-errors.ts'
import { NomalyError } from '../errors.ts'

/** Says in plain words why a server would not make or drop a login; other errors stay what they are. */
export function explainLoginRefusal(error: unknown, login: string): unknown {
  const cause = error
  switch (sqlState(error)) {
    case '42501':
      return new NomalyError(
        'forbidden',
        `The login that administers the database lacks a right: ${(error as Error).message}.`,
        {
          hint:
            'Set ADMIN_DATABASE_URL (METRICS_ADMIN_DATABASE_URL where the metrics are in a database of their own) to a login that may ' +
            'create roles: a superuser, or on a managed server its administrator, as for `nomaly migrate`.',
          cause,
        },
      )
    case '42710':
    case '23505':
      return new NomalyError('conflict', `There is a role "${login}" on this server already.`, {
        hint: 'Take another name; or, where it is a login of a tenant, take it back first with `nomaly access revoke-sql`.',
        cause,
      })
    case '2BP01':
      return new NomalyError(
        'conflict',
        `The role "${login}" owns something in another database of this server, and cannot be dropped.`,
        {
          hint: 'It can no longer log in. Drop what it owns there (`drop owned by`), and revoke it again.',
          cause,
        },
      )
    case '25006':
      return new NomalyError('conflict', 'This server is a standby: logins are made on the primary.', {
        hint: 'Set ADMIN_DATABASE_URL to the primary.',
        cause,
      })
    case '42P01':
    case '3F000':
      return new NomalyError('conflict', 'This database does not have the schema of this version.', {
        hint: 'Run `nomaly migrate` first.',
        cause,
      })
    default:
      return error
  }
}
