/** Roles from the mightiest to the least. */
export const ROLES = ['admin', 'editor', 'viewer'] as const
export type Role = (typeof ROLES)[number]

/** What a call may need. `administer` covers keys, the webhook and the audit log. */
export type Permission = 'read' | 'write' | 'administer'

const PERMISSIONS: Readonly<Record<Role, ReadonlySet<Permission>>> = {
  admin: new Set(['read', 'write', 'administer']),
  editor: new Set(['read', 'write']),
  viewer: new Set(['read']),
}

/** Whether a role carries a permission. */
export function isPermitted(role: Role, permission: Permission): boolean {
  return PERMISSIONS[role].has(permission)
}
