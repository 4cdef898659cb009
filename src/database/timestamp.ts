/** The text of an instant with its microseconds, which a `Date` would cut off: the key of a finding needs them. */
export function toTimestamp(epochMs: number): string {
  const micros = Math.round(epochMs * 1000)
  const ms = Math.floor(micros / 1000)
  return new Date(ms).toISOString().replace('Z', `${String(micros - ms * 1000).padStart(3, '0')}Z`)
}
