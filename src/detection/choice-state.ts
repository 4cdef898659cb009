import type { Choice } from './choose-algorithm.ts'
import type { ConcreteAlgorithm } from './detector-settings.ts'
import type { StateReader, StateWriter } from './state-codec.ts'

const CODES: readonly ConcreteAlgorithm[] = ['robust-z', 'ewma', 'seasonal-residual']

/** Writes what was picked as numbers. */
export function writeChoice({ algorithm, season, memory }: Choice, writer: StateWriter): void {
  for (const value of [CODES.indexOf(algorithm), season?.periodMs ?? 0, season?.strength ?? 0, memory])
    writer.number(value)
}

/** Reads what {@link writeChoice} wrote. */
export function readChoice(reader: StateReader): Choice {
  const algorithm = CODES[reader.number()] ?? 'robust-z'
  const periodMs = reader.number()
  const strength = reader.number()
  const memory = reader.number()
  return { algorithm, season: periodMs === 0 ? undefined : { periodMs, strength }, memory }
}
