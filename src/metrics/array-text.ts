import { instantText } from './instant-literal.ts'

/** An `int4[]` as an SQL literal, for statements that take no parameters. */
export function int4Literal(values: Int32Array): string {
  return `'{${values.join(',')}}'::int4[]`
}

/** A `timestamptz[]` as an SQL literal, from epoch microseconds. */
export function timestampLiteral(micros: Float64Array): string {
  return `'{${Array.from(micros, instantText).join(',')}}'::timestamptz[]`
}

/** The numbers of an array of one dimension in its text form, NaN and infinities too; none where it is null. */
export function readArray(text: string | null): number[] {
  if (text === null || text === '{}') return []
  return text.slice(1, -1).split(',').map(Number)
}
