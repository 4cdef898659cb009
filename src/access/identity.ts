import type { Role } from './roles.ts'
import type { Session } from '../sessions/session-store.ts'
import type { TenantScope } from './tenant-scope.ts'

/** Who is asking: found from an API key or a browser's cookie. */
export interface Identity {
  readonly scope: TenantScope
  readonly tenantName: string
  readonly role: Role
  /** For the audit log: `key:name` or `browser`. */
  readonly actor: string
  readonly via: 'key' | 'browser'
  /** The key itself, or the one that the browser was signed in with; `undefined` for the link printed at the start. */
  readonly keyId: string | undefined
  /** Of a browser. */
  readonly session: Session | undefined
}
