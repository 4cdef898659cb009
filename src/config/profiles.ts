import type { RawConfig } from './schema.ts'

/** All settings of a process, complete: what a profile leaves open is decided. */
export interface Config extends RawConfig {
  readonly profile: 'embedded' | 'production'
  readonly webhookPrivateAddresses: 'allow' | 'refuse'
  readonly databasePoolSize: number
  readonly databasePoolOverflow: number
}

/** Kept connections and overflow of a process: the embedded server takes 60 in all, which two processes and some tools have to share. */
const POOLS = {
  embedded: { size: 8, overflow: 12 },
  server: { size: 20, overflow: 30 },
} as const

/** Fills in what depends on the profile. A profile is only defaults: every setting may be given by itself. */
export function applyProfile(raw: RawConfig): Config {
  const profile = raw.profile ?? (raw.databaseUrl === undefined ? 'embedded' : 'production')
  const pool = raw.databaseUrl === undefined ? POOLS.embedded : POOLS.server
  return {
    ...raw,
    profile,
    databasePoolSize: raw.databasePoolSize ?? pool.size,
    databasePoolOverflow: raw.databasePoolOverflow ?? pool.overflow,
    webhookPrivateAddresses: raw.webhookPrivateAddresses ?? (profile === 'embedded' ? 'allow' : 'refuse'),
  }
}
