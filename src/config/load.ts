import { readFileSync } from 'node:fs'
import { type FieldProblem, NomalyError } from '../errors.ts'
import { parseDatabaseUrl } from './database-url.ts'
import { applyProfile, type Config } from './profiles.ts'
import { CONFIG_OPTIONS, type Option, type RawConfig } from './schema.ts'

/** Variables that are not read any more, and what to do about them: an old value that nobody looks at would be worse than an error. */
const GONE: Readonly<Record<string, string>> = {
  NOMALY_DATABASE_CONNECTIONS:
    'has been replaced by NOMALY_DATABASE_POOL_SIZE and NOMALY_DATABASE_POOL_OVERFLOW',
  NOMALY_METRICS_DATABASE_CONNECTIONS:
    'has been replaced by NOMALY_METRICS_DATABASE_POOL_SIZE and NOMALY_METRICS_DATABASE_POOL_OVERFLOW',
}

/** The variables of an environment. */
export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads the settings from environment variables, or from the files that `NAME_FILE` points at.
 * @throws NomalyError `invalid_input` that lists every variable that is wrong.
 */
export function loadConfig(environment: Environment = process.env): Config {
  const problems: FieldProblem[] = Object.entries(GONE)
    .filter(([name]) => (environment[name] ?? '') !== '')
    .map(([field, reason]) => ({ field, reason }))
  const raw: Record<string, unknown> = {}
  for (const [name, option] of Object.entries(CONFIG_OPTIONS) as [string, Option<unknown>][]) {
    try {
      const value = readVariable(environment, option.env)
      raw[name] = value === undefined || value === '' ? option.fallback : parse(option, value)
    } catch (error) {
      problems.push({ field: option.env, reason: (error as Error).message })
    }
  }
  if (problems.length > 0)
    throw new NomalyError(
      'invalid_input',
      `The configuration is wrong: ${problems.map(({ field, reason }) => `${field} ${reason}`).join('; ')}.`,
      { problems, hint: '`nomaly config reference` explains every setting.' },
    )
  return applyProfile(raw as unknown as RawConfig)
}

function readVariable(environment: Environment, name: string): string | undefined {
  const path = environment[`${name}_FILE`]
  if (path === undefined || path === '') return environment[name]
  if (environment[name] !== undefined) throw new Error(`is set twice: by itself and by ${name}_FILE`)
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw new Error(
      `cannot be read from the file of ${name}_FILE (${(error as NodeJS.ErrnoException).code})`,
      { cause: error },
    )
  }
}

function parse(option: Option<unknown>, value: string): unknown {
  const { kind } = option
  switch (kind.type) {
    case 'text':
      return value
    case 'url':
      if (!URL.canParse(value)) throw new Error('is not a URL')
      return value
    case 'database url':
      parseDatabaseUrl(value)
      return value
    case 'choice':
      if (!kind.choices.includes(value)) throw new Error(`must be one of ${kind.choices.join(', ')}`)
      return value
    case 'integer': {
      const number = Number(value)
      if (!Number.isInteger(number) || number < kind.min || number > kind.max)
        throw new Error(`must be a whole number from ${kind.min} to ${kind.max}, not "${value.slice(0, 40)}"`)
      return number
    }
  }
}
