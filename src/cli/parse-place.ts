import { isIP } from 'node:net'
import { invalidField } from '../errors.ts'

const UNITS: Readonly<Record<string, number>> = { KB: 1024, MB: 1_048_576, GB: 1_073_741_824 }

/** Reads a size such as `512MB` or `2GB`, in bytes. @throws NomalyError `invalid_input`. */
export function parseMemory(field: string, text: string): number {
  const match = /^(\d{1,6})\s*([KMG]B)$/i.exec(text.trim())
  const bytes = Number(match?.[1]) * (UNITS[match?.[2]?.toUpperCase() ?? ''] ?? Number.NaN)
  if (bytes > 0) return bytes
  throw invalidField(field, `"${text}" is not a size`, 'Write it as 512MB or 2GB.')
}

/** Reads an address to listen on, such as `127.0.0.1:8420` or `[::1]:8420`. @throws NomalyError `invalid_input`. */
export function parseListen(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([\d.]+)):(\d{1,5})$/.exec(text.trim())
  const host = match?.[1] ?? match?.[2] ?? ''
  const port = Number(match?.[3])
  if (isIP(host) !== 0 && port >= 1 && port <= 65_535) return { host, port }
  throw invalidField(
    'listen',
    `"${text}" is not an address with a port`,
    'Write it as 127.0.0.1:8420 or 0.0.0.0:443.',
  )
}
