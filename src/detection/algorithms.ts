import { NomalyError } from '../errors.ts'
import type { FieldProblem } from '../errors.ts'
import { DEFAULT_BUDGET } from './detector-settings.ts'
import type { Algorithm, DetectorSettings, FalseAlarmBudget } from './detector-settings.ts'

/** A number that tunes an algorithm. */
export interface ParameterDescription {
  readonly name: string
  readonly default: number
  readonly minimum: number
  readonly maximum: number
  readonly integer: boolean
  readonly description: string
}

/** An entry of the catalogue. */
export interface AlgorithmDescription {
  readonly name: Algorithm
  readonly title: string
  readonly description: string
  readonly parameters: readonly ParameterDescription[]
}

const WINDOW: ParameterDescription = {
  name: 'window',
  default: 500,
  minimum: 30,
  maximum: 1000,
  integer: true,
  description: 'How many recent points are compared with.',
}
const ALPHA: ParameterDescription = {
  name: 'alpha',
  default: 0.1,
  minimum: 0.001,
  maximum: 0.5,
  integer: false,
  description: 'Weight of the newest point in the moving average: larger follows faster.',
}
const PERIOD: ParameterDescription = {
  name: 'periodSeconds',
  default: 0,
  minimum: 0,
  maximum: 31_622_400,
  integer: false,
  description: 'Length of the repetition in seconds; 0 finds it in the data.',
}
const LEARNING: ParameterDescription = {
  name: 'learningRate',
  default: 0.1,
  minimum: 0.001,
  maximum: 0.5,
  integer: false,
  description: 'How much of each new repetition goes into the learned course: larger adapts faster.',
}

/** Every algorithm with its parameters, in the order to offer them. */
export const ALGORITHMS: readonly AlgorithmDescription[] = [
  {
    name: 'auto',
    title: 'Pick for me',
    description:
      'Looks at each series, picks one of the other algorithms, says why, and looks again as more data arrives.',
    parameters: [WINDOW, ALPHA, PERIOD, LEARNING],
  },
  {
    name: 'robust-z',
    title: 'Recent median',
    description:
      'Compares each point with the median and the interquartile range of the recent ones. Good for values that hover around a level.',
    parameters: [WINDOW],
  },
  {
    name: 'ewma',
    title: 'Moving average',
    description:
      'Compares each point with an exponentially weighted mean and variance. Good for levels that wander.',
    parameters: [ALPHA],
  },
  {
    name: 'seasonal-residual',
    title: 'Daily or weekly rhythm',
    description:
      'Learns the usual course of a day, a week or any other repetition and compares each point with its moment in it.',
    parameters: [PERIOD, WINDOW, LEARNING],
  },
]

/** A parameter's value, or its default in the catalogue. */
export function parameterOf(
  settings: DetectorSettings,
  name: 'window' | 'alpha' | 'periodSeconds' | 'learningRate',
): number {
  const fallback = { window: WINDOW, alpha: ALPHA, periodSeconds: PERIOD, learningRate: LEARNING }[name]
  return settings.parameters[name] ?? fallback.default
}

/** Checks settings from outside and fills in defaults; throws `invalid_input` naming every field that is wrong. */
export function validateDetectorSettings(input: unknown): DetectorSettings {
  const problems: FieldProblem[] = []
  const given = record(input ?? {}, '', problems)
  for (const key of Object.keys(given)) {
    if (!['algorithm', 'parameters', 'budget'].includes(key))
      problems.push({
        field: key,
        reason: 'is not a setting; there are algorithm, parameters and budget',
      })
  }
  const name = given['algorithm'] ?? 'auto'
  const algorithm = ALGORITHMS.find((a) => a.name === name)
  if (algorithm === undefined)
    problems.push({
      field: 'algorithm',
      reason: `must be one of ${ALGORITHMS.map((a) => a.name).join(', ')}`,
    })
  const parameters = readParameters(given['parameters'], algorithm ?? ALGORITHMS[0]!, problems)
  const budget = readBudget(given['budget'], problems)
  if (problems.length > 0) {
    const named = problems.map((p) => `${p.field} ${p.reason}`).join('; ')
    throw new NomalyError('invalid_input', `These detector settings cannot be used: ${named}.`, {
      problems,
    })
  }
  return { algorithm: algorithm!.name, parameters, budget }
}

function readParameters(
  input: unknown,
  algorithm: AlgorithmDescription,
  problems: FieldProblem[],
): Record<string, number> {
  const values: Record<string, number> = {}
  for (const [name, value] of Object.entries(record(input ?? {}, 'parameters', problems))) {
    const field = `parameters.${name}`
    const known = algorithm.parameters.find((p) => p.name === name)
    if (known === undefined) {
      problems.push({
        field,
        reason: `is not a parameter of ${algorithm.name}; there are ${algorithm.parameters.map((p) => p.name).join(', ')}`,
      })
    } else if (
      typeof value !== 'number' ||
      !(value >= known.minimum && value <= known.maximum) ||
      (known.integer && !Number.isInteger(value))
    ) {
      problems.push({
        field,
        reason: `must be ${known.integer ? 'a whole number' : 'a number'} from ${known.minimum} to ${known.maximum}`,
      })
    } else values[name] = value
  }
  return values
}

function readBudget(input: unknown, problems: FieldProblem[]): FalseAlarmBudget {
  const given = record(input ?? {}, 'budget', problems)
  const budget = { ...DEFAULT_BUDGET }
  for (const [name, value] of Object.entries(given)) {
    const field = `budget.${name}`
    if (name === 'alarms') {
      if (typeof value === 'number' && value >= 1e-6 && value <= 1e6) budget.alarms = value
      else problems.push({ field, reason: 'must be a number from 0.000001 to 1000000' })
    } else if (name === 'perSeconds') {
      if (typeof value === 'number' && value >= 1 && value <= 316_224_000) budget.perSeconds = value
      else
        problems.push({
          field,
          reason: 'must be a number of seconds from 1 to 316224000 (ten years)',
        })
    } else problems.push({ field, reason: 'is not part of a budget; there are alarms and perSeconds' })
  }
  return budget
}

function record(input: unknown, field: string, problems: FieldProblem[]): Record<string, unknown> {
  if (typeof input === 'object' && input !== null && !Array.isArray(input))
    return input as Record<string, unknown>
  problems.push({ field: field === '' ? 'detector' : field, reason: 'must be an object' })
  return {}
}
