import type pg from 'pg'

/** A setting as the server has it now. */
export interface ServerValue {
  readonly name: string
  /** In `unit` where there is one. */
  readonly setting: string
  readonly unit: string | null
  /** As `show` prints it. */
  readonly shown: string
  readonly needsRestart: boolean
  /** Changed in a file, and waiting for a restart. */
  readonly isPending: boolean
  readonly source: string
}

/** Reads settings of a server by name; those that its version does not have are left out. */
export async function readServerValues(
  client: pg.ClientBase,
  names: readonly string[],
): Promise<ReadonlyMap<string, ServerValue>> {
  const { rows } = await client.query<ServerValue>(
    `select lower(name) as name, setting, unit, current_setting(name) as shown, context = 'postmaster' as "needsRestart",
       pending_restart as "isPending", source
     from pg_settings where lower(name) = any($1)`,
    [names],
  )
  return new Map(rows.map((row) => [row.name, row]))
}

/** Whether a server has a setting at this value, whatever unit either is written in. */
export function isAtValue(now: ServerValue, value: string): boolean {
  // What the server reckons for itself it shows as the result.
  if (value === '-1' && now.setting !== '-1') return ['default', 'override'].includes(now.source)
  const [wanted, found] = [value, now.setting].map((text) => measure(text, now.unit ?? ''))
  if (wanted === undefined || found === undefined) return plain(value) === plain(now.setting)
  return Math.abs(wanted - found) <= tolerance(now.unit)
}

function plain(text: string): string {
  return text.toLowerCase().replaceAll(' ', '')
}

/** Units of PostgreSQL (manual, 19.1.1), in bytes and milliseconds. */
const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  kB: 1024,
  MB: 1024 ** 2,
  GB: 1024 ** 3,
  TB: 1024 ** 4,
  us: 0.001,
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** A number with its own unit, or with that of the setting, which may be a multiple, such as `8kB`. */
function measure(text: string, unit: string): number | undefined {
  const [, number, own] = /^(-?\d+(?:\.\d+)?)\s*([a-zA-Z]*)$/.exec(text) ?? []
  if (number === undefined) return undefined
  const [, many, name] = /^(\d*)([a-zA-Z]*)$/.exec(own || unit) ?? []
  const size = UNITS[name ?? '']
  return size === undefined ? undefined : Number(number) * size * Number(many || 1)
}

/** The server rounds to its own unit. */
function tolerance(unit: string | null): number {
  return unit === null ? 1e-9 : measure('1', unit)! / 2
}
