import type { StateReader, StateWriter } from './state-codec.ts'

/** What is normal now: a centre and a spread that follow the values and are not fooled by a few wild ones. */
export interface Baseline {
  /** Whether enough values were seen to say anything. */
  readonly ready: boolean
  readonly center: number
  /** Like a standard deviation; may be 0 for constant data. */
  readonly scale: number
  /** Takes a value in; `z` is how many scales it lay from the centre, clipped. */
  update(value: number, z: number): void
  write(writer: StateWriter): void
  read(reader: StateReader): void
}
