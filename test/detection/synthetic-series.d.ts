/** A series made from a seed. */
export interface SyntheticSeries {
  readonly timesMs: Float64Array
  readonly values: Float64Array
}
/** Uniform numbers in [0, 1) from a seed (mulberry32). */
export declare function uniform(seed: number): () => number
/** Standard normal numbers from a seed (Box and Muller). */
export declare function normal(seed: number): () => number
export declare const MINUTE_MS = 60000
export declare const HOUR_MS = 3600000
export declare const DAY_MS = 86400000
/** `days` of points every `stepMs`, each from its time and number. */
export declare function generate(
  days: number,
  stepMs: number,
  value: (timeMs: number, i: number) => number,
): SyntheticSeries
/** Healthy series of many kinds, by name; nothing in them deserves an alarm. */
export declare const CLEAN: Readonly<Record<string, (seed: number, days: number) => SyntheticSeries>>
