import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { Option, type Command } from 'commander'
import { invalidField, NomalyError } from '../errors.ts'
import { FLAG_TYPES, type FlagChange, type FlagRule, type FlagType, type JsonValue } from '../flags/flag.ts'
import { parseRule } from '../flags/rule-text.ts'
import type { FlagFlags } from './flag-command.ts'
import type { FlagDesk, FlagView } from './flag-desk.ts'

export interface ChangeFlags extends FlagFlags {
  readonly type?: FlagType
  readonly on?: boolean
  readonly off?: boolean
  readonly description?: string
  readonly default?: string
  readonly offVariant?: string
  readonly variant?: readonly string[]
  readonly rule?: readonly string[]
  readonly rules?: string
  readonly clearRules?: boolean
}

const collect = (value: string, before: string[] = []): string[] => [...before, value]

/** Adds the options that say what a flag is. */
export function withChange(command: Command): Command {
  return command
    .option('--on', 'turn it on')
    .option('-d, --description <text>', 'what it is for')
    .option('--variant <name=value>', 'a value it may come out as; repeat it for several', collect)
    .option('--default <variant>', 'what those get whom no rule is for')
    .option(
      '--off-variant <variant>',
      'what everybody gets while it is off; "none": the default of the program',
    )
    .option(
      '-r, --rule <rule>',
      'add a rule, such as "plan=pro user=ann,bob -> on" or "-> 20% on"; the first that fits decides',
      collect,
    )
    .option('--rules <file>', 'take these rules instead, as JSON; - for standard input')
    .option('-m, --note <text>', 'why; stands in the history')
}

/** Adds `--type`. */
export function withType(command: Command): Command {
  return command.addOption(
    new Option('-t, --type <type>', 'what its variants are').choices([...FLAG_TYPES]).default('boolean'),
  )
}

/** What the options change of a flag: `before`, or one that is made. */
export async function readChange(
  desk: FlagDesk,
  flags: ChangeFlags,
): Promise<(before: FlagView | undefined) => FlagChange> {
  if (flags.on === true && flags.off === true)
    throw new NomalyError('invalid_input', 'It cannot be turned on and off at once.', {
      hint: 'Give one of --on and --off.',
    })
  const replaced =
    flags.rules !== undefined ? await readRules(flags.rules) : flags.clearRules === true ? [] : undefined
  const added = await Promise.all((flags.rule ?? []).map((line) => withTenantIds(desk, parseRule(line))))
  return (before) => {
    const type = before?.type ?? flags.type ?? 'boolean'
    const variants = Object.fromEntries((flags.variant ?? []).map((pair) => readVariant(type, pair)))
    const hasRules = replaced !== undefined || added.length > 0
    return {
      ...(flags.on === true || flags.off === true ? { enabled: flags.on === true } : {}),
      ...(flags.description === undefined ? {} : { description: flags.description }),
      ...(flags.variant === undefined ? {} : { variants: { ...before?.variants, ...variants } }),
      ...(flags.default === undefined ? {} : { defaultVariant: flags.default }),
      ...(flags.offVariant === undefined
        ? {}
        : { offVariant: flags.offVariant === 'none' ? null : flags.offVariant }),
      ...(hasRules ? { rules: [...(replaced ?? before?.rules ?? []), ...added] } : {}),
    }
  }
}

/** A change that gives a variant to a part of those whom no other rule is for, and turns the flag on. */
export function rolloutChange(
  flag: FlagView,
  percentage: number,
  wanted: string | undefined,
  rest: string | undefined,
): FlagChange {
  const isBoolean = flag.type === 'boolean' && 'on' in flag.variants
  const variant = wanted ?? (isBoolean ? 'on' : undefined)
  if (variant === undefined)
    throw invalidField('variant', `must be given: one of ${Object.keys(flag.variants).join(', ')}`)
  const others =
    rest ?? (isBoolean && variant === 'on' && 'off' in flag.variants ? 'off' : flag.defaultVariant)
  const last = flag.rules.at(-1)
  const isRollout = last?.split !== undefined && isForEverybody(last)
  const shares = isRollout ? last.split : []
  // In its place, or at the end: so nobody changes sides who need not.
  const split = shares.some((share) => share.variant === variant)
    ? shares.map((share) => (share.variant === variant ? { variant, percentage } : share))
    : [...shares, { variant, percentage }]
  const before = isRollout ? flag.rules.slice(0, -1) : flag.rules
  return { enabled: true, defaultVariant: others, rules: [...before, { ...(isRollout ? last : {}), split }] }
}

/** A percentage as text, with its sign or without. */
export function readPercentage(input: string): number {
  const number = Number(input.replace(/\s*%$/, ''))
  if (input.trim() !== '' && number >= 0 && number <= 100) return number
  throw invalidField('percentage', `"${input.slice(0, 40)}" is not a percentage from 0 to 100`)
}

function isForEverybody({ tenants, targetingKeys, attributes = {} }: FlagRule): boolean {
  return tenants === undefined && targetingKeys === undefined && Object.keys(attributes).length === 0
}

async function withTenantIds(desk: FlagDesk, rule: FlagRule): Promise<FlagRule> {
  if (rule.tenants === undefined) return rule
  return { ...rule, tenants: await Promise.all(rule.tenants.map((name) => desk.tenantId(name))) }
}

function readVariant(type: FlagType, pair: string): [string, JsonValue] {
  const at = pair.indexOf('=')
  if (at < 1) throw invalidField('variant', `"${pair.slice(0, 40)}" must look like name=value`)
  const [name, value] = [pair.slice(0, at), pair.slice(at + 1)]
  if (type === 'string') return [name, value]
  try {
    return [name, JSON.parse(value) as JsonValue]
  } catch {
    throw invalidField(
      `variants.${name}`,
      `must be a ${type}, written as in JSON, and not "${value.slice(0, 40)}"`,
    )
  }
}

async function readRules(path: string): Promise<readonly FlagRule[]> {
  const source = path === '-' ? await text(process.stdin) : await readRulesFile(path)
  try {
    return JSON.parse(source) as FlagRule[]
  } catch (error) {
    throw new NomalyError('invalid_input', `The rules are no JSON: ${(error as Error).message}`, {
      hint: 'Write a list of rules; `nomaly flags show KEY --output json` prints those of a flag.',
      problems: [{ field: 'rules', reason: 'must be JSON' }],
    })
  }
}

async function readRulesFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new NomalyError('not_found', `The file ${path} cannot be read.`, {
      hint: 'Check its name; - is standard input.',
      cause: error,
    })
  }
}
