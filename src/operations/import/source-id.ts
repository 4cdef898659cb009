import { createHash } from 'node:crypto'
import type { SourceValue } from './source.ts'

/** What became of an id: `kept` as it is, `recovered` from the number that it had become, or `derived` from a text that is no UUID. */
export interface SoundId {
  readonly id: string
  readonly origin: 'kept' | 'recovered' | 'derived'
}

const UUID = /^([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})$/i
const MAX_DIGITS = 32

/**
 * The UUID of a value of an id column. A column declared UUID has NUMERIC affinity in SQLite: an id of digits alone became a whole number (and is
 * padded with zeros again), or a rounded one, which no longer says what it was.
 * @returns a sentence where there is no telling.
 */
export function soundId(value: SourceValue | undefined): SoundId | string {
  if (value === null || value === undefined || value === '') return 'the id is missing'
  if (typeof value === 'bigint') {
    const digits = value.toString()
    if (value < 0n || digits.length > MAX_DIGITS) return `the id is the number ${digits}, which was none`
    return { id: dashed(digits.padStart(MAX_DIGITS, '0')), origin: 'recovered' }
  }
  if (typeof value === 'number')
    return `the id was stored as the rounded number ${value}: what it was is lost`
  if (typeof value !== 'string') return 'the id is neither text nor a number'
  const match = UUID.exec(value)
  if (match !== null) return { id: match.slice(1).join('-').toLowerCase(), origin: 'kept' }
  return { id: derivedId('id', value), origin: 'derived' }
}

/** A UUID that is the same for the same texts, each time (RFC 9562, version 8). */
export function derivedId(...parts: readonly string[]): string {
  const hash = createHash('sha256')
    .update(JSON.stringify(['pynomaly', ...parts]))
    .digest()
  hash[6] = (hash[6]! & 0x0f) | 0x80
  hash[8] = (hash[8]! & 0x3f) | 0x80
  return dashed(hash.toString('hex').slice(0, 32))
}

function dashed(hex: string): string {
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
