import { LIVE_OPTIONS, type LiveOption, liveName } from '../config/live-options.ts'
import { CONFIG_OPTIONS, type Option, type OptionKind } from '../config/schema.ts'
import { invalidField, NomalyError } from '../errors.ts'

export type SettingValue = string | number

/** A setting that can be changed while processes run: what it may be, and what it does. */
export interface LiveSetting {
  readonly name: string
  readonly option: LiveOption
  /** The variable that gives its default. */
  readonly variable: string
  readonly kind: OptionKind
  readonly description: string
}

/** Every live setting, in the order of the reference. */
export const LIVE_SETTINGS: readonly LiveSetting[] = LIVE_OPTIONS.map((option) => {
  const { env, kind, description } = CONFIG_OPTIONS[option] as Option<SettingValue>
  return { name: liveName(option), option, variable: env, kind, description }
})

/** @throws NomalyError `not_found`. */
export function findSetting(name: string): LiveSetting {
  const setting = LIVE_SETTINGS.find((candidate) => candidate.name === name)
  if (setting === undefined)
    throw new NomalyError('not_found', `There is no live setting "${name.slice(0, 100)}".`, {
      hint: `There are ${LIVE_SETTINGS.map((each) => each.name).join(', ')}. Others are set by variables: \`nomaly config reference\`.`,
    })
  return setting
}

/**
 * A value as the setting has it, from text or from JSON.
 * @throws NomalyError `invalid_input` saying what it may be.
 */
export function checkSetting({ name, kind }: LiveSetting, input: unknown): SettingValue {
  if (kind.type === 'choice') {
    if (typeof input === 'string' && kind.choices.includes(input)) return input
    throw invalidField(name, `must be one of ${kind.choices.join(', ')}`)
  }
  if (kind.type !== 'integer') throw invalidField(name, 'cannot be changed while processes run')
  const number = typeof input === 'string' && /^-?\d{1,16}$/.test(input) ? Number(input) : input
  if (Number.isInteger(number) && (number as number) >= kind.min && (number as number) <= kind.max)
    return number as number
  throw invalidField(name, `must be a whole number from ${kind.min} to ${kind.max} ${kind.unit ?? ''}`.trim())
}
