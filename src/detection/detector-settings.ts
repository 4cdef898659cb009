/** How a series is watched; `auto` picks one of the others from the data. */
export type Algorithm = 'auto' | 'robust-z' | 'ewma' | 'seasonal-residual'

/** The algorithms a series can really end up with. */
export type ConcreteAlgorithm = Exclude<Algorithm, 'auto'>

/** How many false alarms a user accepts, per series: `alarms` in every `perSeconds` seconds. */
export interface FalseAlarmBudget {
  readonly alarms: number
  readonly perSeconds: number
}

/** Everything a detector needs to know beside the data. */
export interface DetectorSettings {
  readonly algorithm: Algorithm
  /** By name; what is missing takes the default of the catalogue in `algorithms.ts`. */
  readonly parameters: Readonly<Record<string, number>>
  readonly budget: FalseAlarmBudget
}

/** One false alarm per week and series. */
export const DEFAULT_BUDGET: FalseAlarmBudget = { alarms: 1, perSeconds: 604_800 }
