import { invalidField } from '../errors.ts'
import type { AttributeValue, FlagRule, SplitShare } from './flag.ts'

/**
 * A rule as a line: conditions, an arrow and what follows, such as `plan=pro,team user=ann -> on` or `-> 20% on, 10% beta`.
 * `user` is the targeting key and `tenant` the tenant; every other word, and every one in quotes, is an attribute.
 */
export function formatRule({
  tenants,
  targetingKeys,
  attributes = {},
  variant,
  split = [],
}: FlagRule): string {
  const conditions = [
    ...(tenants === undefined ? [] : [formatCondition('tenant', tenants, true)]),
    ...(targetingKeys === undefined ? [] : [formatCondition('user', targetingKeys, true)]),
    ...Object.entries(attributes).map(([name, values]) => formatCondition(name, values)),
  ]
  const outcome = variant ?? split.map((share) => `${share.percentage}% ${share.variant}`).join(', ')
  return [...conditions, '->', outcome].join(' ')
}

/**
 * The rule that a line stands for. Values that look like numbers or booleans are those; in double quotes they are texts.
 * @throws NomalyError `invalid_input` saying where it is wrong.
 */
export function parseRule(line: string): FlagRule {
  const { conditions, outcome } = readLine(line)
  const attributes = conditions.filter(({ isQuoted, name }) => isQuoted || !SPECIAL.has(name))
  const textsOf = (special: string): string[] | undefined =>
    conditions.find(({ isQuoted, name }) => !isQuoted && name === special)?.values.map(String)
  const [tenants, targetingKeys] = [textsOf('tenant'), textsOf('user')]
  return {
    ...(tenants === undefined ? {} : { tenants }),
    ...(targetingKeys === undefined ? {} : { targetingKeys }),
    ...(attributes.length === 0
      ? {}
      : { attributes: Object.fromEntries(attributes.map(({ name, values }) => [name, values])) }),
    ...(outcome.includes('%') ? { split: parseSplit(line, outcome) } : { variant: outcome }),
  }
}

/** Words that are no attributes, unless they are in quotes. */
const SPECIAL = new Set(['user', 'tenant'])
const PLAIN = /[^\s,"=]+/.source
const QUOTED = /"(?:[^"\\]|\\.)*"/.source
const WORD = `(?:${QUOTED}|${PLAIN})`
const CONDITION = new RegExp(`^(${WORD})=(${WORD}(?:,${WORD})*)(?:\\s+|$)`)

interface Condition {
  readonly name: string
  readonly isQuoted: boolean
  readonly values: AttributeValue[]
}

function formatCondition(name: string, values: readonly AttributeValue[], isSpecial = false): string {
  const isPlain = isSpecial || (isWord(name) && !SPECIAL.has(name))
  return `${isPlain ? name : JSON.stringify(name)}=${values.map((value) => formatValue(value, isSpecial)).join(',')}`
}

function formatValue(value: AttributeValue, isText: boolean): string {
  if (typeof value !== 'string') return String(value)
  return isWord(value) && (isText || typeof parseAttribute(value) === 'string')
    ? value
    : JSON.stringify(value)
}

function isWord(text: string): boolean {
  return new RegExp(`^${PLAIN}$`).test(text)
}

function readLine(line: string): { conditions: Condition[]; outcome: string } {
  const conditions: Condition[] = []
  for (let rest = line.trim(); ;) {
    const arrow = /^->(?:\s+(\S.*))?$/s.exec(rest)
    if (arrow !== null) {
      if (arrow[1] === undefined) throw badRule(line, 'says nothing behind the arrow')
      return { conditions, outcome: arrow[1] }
    }
    if (rest === '') throw badRule(line, 'has no arrow "->" before what is served')
    const match = CONDITION.exec(rest)
    if (match === null)
      throw badRule(line, `cannot be read from "${rest.slice(0, 40)}" on; write name=value,value`)
    const [whole, name, values] = match as unknown as [string, string, string]
    const isSpecial = SPECIAL.has(name)
    conditions.push({
      name: readQuoted(line, name) ?? name,
      isQuoted: name.startsWith('"'),
      values: values
        .match(new RegExp(WORD, 'g'))!
        .map((each) => readQuoted(line, each) ?? (isSpecial ? each : parseAttribute(each))),
    })
    rest = rest.slice(whole.length)
  }
}

function readQuoted(line: string, text: string): string | undefined {
  if (!text.startsWith('"')) return undefined
  try {
    return JSON.parse(text) as string
  } catch {
    throw badRule(line, `holds ${text.slice(0, 40)}, which is no text in quotes`)
  }
}

/** The value that a word stands for: a number or a boolean where it looks like one. */
export function parseAttribute(text: string): AttributeValue {
  if (text === 'true' || text === 'false') return text === 'true'
  const number = Number(text)
  return Number.isFinite(number) && String(number) === text ? number : text
}

function parseSplit(line: string, text: string): SplitShare[] {
  return text.split(',').map((part) => {
    const match = /^\s*(\d+(?:\.\d+)?)\s*%\s*(\S+)\s*$/.exec(part)
    if (match === null) throw badRule(line, `serves "${part.trim().slice(0, 40)}"; write it as 20% on`)
    return { percentage: Number(match[1]), variant: match[2]! }
  })
}

function badRule(line: string, reason: string): Error {
  return invalidField('rule', `"${line.slice(0, 80)}" ${reason}`, 'Such as: plan=pro,team user=ann -> on')
}
