/** How the text of an environment variable becomes a value, and what it may be. */
export type OptionKind =
  | { readonly type: 'text' }
  | { readonly type: 'url' }
  | { readonly type: 'database url' }
  | { readonly type: 'choice'; readonly choices: readonly string[] }
  | { readonly type: 'integer'; readonly min: number; readonly max: number; readonly unit?: string }

/** One setting: the variable it is read from, its default and what it does. */
export interface Option<T> {
  readonly env: string
  readonly kind: OptionKind
  /** What holds when the variable is not set. */
  readonly fallback: T
  /** Said in the reference where the default is not the fallback itself. */
  readonly fallbackText?: string
  /** The value is never printed. */
  readonly secret?: boolean
  readonly description: string
}

/** An option that is taken as it is. */
export function text(env: string, fallback: string, description: string): Option<string> {
  return { env, kind: { type: 'text' }, fallback, description }
}

/** An option that is a whole number, from the first to the second bound. */
export function integer(
  env: string,
  fallback: number,
  [min, max]: readonly [number, number],
  unit: string,
  description: string,
): Option<number> {
  return { env, kind: { type: 'integer', min, max, unit }, fallback, description }
}

/** An option that is the address of a database, and left out otherwise. */
export function databaseUrl(
  env: string,
  fallbackText: string,
  description: string,
): Option<string | undefined> {
  return { env, kind: { type: 'database url' }, fallback: undefined, fallbackText, secret: true, description }
}
