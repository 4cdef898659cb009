import { invalidField } from '../../errors.ts'

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
}

/** Less than PostgreSQL and what is reckoned here can live with. */
const LEAST_BYTES = 128 * 1024 ** 2

/**
 * Reads an amount of memory such as `16GB`, `512MiB` or a number of bytes; units are powers of 1024, as PostgreSQL's.
 * @throws NomalyError `invalid_input`.
 */
export function parseMemory(text: string, field = '--memory'): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text.trim()) ?? []
  if (number === undefined) throw invalidField(field, `"${text}" is no amount of memory, such as 16GB`)
  const bytes = Math.round(Number(number) * UNITS[unit!.toLowerCase()]!)
  if (bytes < LEAST_BYTES) throw invalidField(field, 'a server needs 128 MB or more')
  return bytes
}
