import type { RawConfig } from './schema.ts'

/** All settings of a process, complete: what a profile leaves open is decided. */
export interface Config extends RawConfig {
  readonly profile: 'embedded' | 'production'
  readonly webhookPrivateAddresses: 'allow' | 'refuse'
}

/** Fills in what depends on the profile. A profile is only defaults: every setting may be given by itself. */
export function applyProfile(raw: RawConfig): Config {
  const profile = raw.profile ?? (raw.databaseUrl === undefined ? 'embedded' : 'production')
  return {
    ...raw,
    profile,
    webhookPrivateAddresses: raw.webhookPrivateAddresses ?? (profile === 'embedded' ? 'allow' : 'refuse'),
  }
}
