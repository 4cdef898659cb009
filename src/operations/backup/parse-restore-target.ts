import { invalidField } from '../../errors.ts'
import type { RestoreTarget } from './backup-engine.ts'
import { requirePointName } from './restore-point.ts'

/**
 * Reads what `--to` names: `latest`, `immediate`, a time (in UTC where it has no zone), a position as `0/1A2B3C4D`, or a named restore point.
 * @throws NomalyError `invalid_input`.
 */
export function parseRestoreTarget(text: string): RestoreTarget {
  const value = text.trim()
  if (value === 'latest' || value === 'immediate') return { kind: value }
  if (/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/i.test(value)) return { kind: 'lsn', lsn: value.toUpperCase() }
  const time =
    /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?([.]\d{1,6})?)?\s*(Z|UTC|[+-]\d\d(?::?\d\d)?)?$/i.exec(value)
  if (time === null) return { kind: 'name', name: requirePointName(value) }
  const [, day, minute = '00:00', second = ':00', fraction = '', zone = 'Z'] = time
  const ms = Date.parse(`${day}T${minute}${second}${fraction.slice(0, 4)}${offsetOf(zone)}`)
  // Date takes the 31st of February for the 3rd of March.
  const isReal =
    Number.isFinite(ms) && new Date(Date.parse(`${day}T00:00:00Z`)).toISOString().startsWith(day!)
  if (!isReal)
    throw invalidField(
      'to',
      `"${value}" is no time`,
      'Write it as 2026-11-20 14:03, in UTC, or with a zone: 2026-11-20 14:03+01:00.',
    )
  return { kind: 'time', ms }
}

function offsetOf(zone: string): string {
  if (/^(?:z|utc)$/i.test(zone)) return 'Z'
  const digits = zone.replace(':', '').slice(1).padEnd(4, '0')
  return `${zone[0]}${digits.slice(0, 2)}:${digits.slice(2)}`
}
