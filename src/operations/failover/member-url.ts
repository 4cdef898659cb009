import { NomalyError } from '../../errors.ts'
import type { Member } from './cluster-view.ts'

const AUTHORITY = /^(postgres(?:ql)?:\/\/(?:[^@/?#]*@)?)([^/?#]*)(.*)$/

/** A database URL, with one host or several, that leads to one member itself instead. Carries the password: never log it. */
export function urlForMember(databaseUrl: string, { host, port }: Pick<Member, 'host' | 'port'>): string {
  const match = AUTHORITY.exec(databaseUrl)
  if (match === null)
    throw new NomalyError('invalid_input', 'DATABASE_URL is not a PostgreSQL URL.', {
      hint: 'Write it as postgresql://user:password@host:5432/database.',
    })
  return `${match[1]}${host.includes(':') ? `[${host}]` : host}:${port}${match[3]}`
}
