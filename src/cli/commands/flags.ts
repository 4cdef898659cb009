import type { Command } from 'commander'
import { NomalyError } from '../../errors.ts'
import type { FlagContext } from '../../flags/evaluation.ts'
import type { AttributeValue } from '../../flags/flag.ts'
import { formatRule, parseAttribute } from '../../flags/rule-text.ts'
import { confirm, withYes, type ConfirmFlags } from '../confirm.ts'
import { addFlagCommand, withNote, type FlagFlags } from '../flag-command.ts'
import {
  readChange,
  readPercentage,
  rolloutChange,
  withChange,
  withType,
  type ChangeFlags,
} from '../flag-changes.ts'
import type { FlagDesk, FlagVersionView, FlagView } from '../flag-desk.ts'
import { formatTime } from '../format-cells.ts'
import { paint, print, printItem, printItems, printJson, type Column } from '../output.ts'
import { addNoun, collectTag, wholeNumber, withLimit } from '../remote-command.ts'

const NONE = 'There are no flags: `nomaly flags create KEY` makes one.'

/** Adds `nomaly flags …`. */
export function registerFlags(program: Command): void {
  const flags = addNoun(
    program,
    'flags',
    'Feature flags: what is on, for whom, and how far it is rolled out.',
    [
      ['nomaly flags create new-page', 'makes a flag, which is off'],
      ['nomaly flags rollout new-page 25%', 'on for a quarter of all users, always the same'],
      ['nomaly flags revert new-page', 'back to what it was before the last change'],
    ],
  )
  registerLooking(flags)
  registerChanging(flags)
}

function registerLooking(flags: Command): void {
  addFlagCommand<FlagFlags & { limit: number }>(flags, 'list', {
    description: 'Lists flags.',
    options: withLimit,
    examples: [
      ['nomaly flags list', 'those of the tenant'],
      ['nomaly flags list --installation', 'those of the operator, which hold for every tenant'],
    ],
    async run(desk, { output, limit }) {
      printItems(output, await desk.list(limit), COLUMNS, NONE)
    },
  })
  addFlagCommand(flags, 'show <key>', {
    description: 'Shows a flag with its variants and rules.',
    examples: [['nomaly flags show new-page', '']],
    async run(desk, { output }, key) {
      printFlag(desk, output, await desk.get(key))
    },
  })
  addFlagCommand<FlagFlags & { limit: number }>(flags, 'history <key>', {
    description:
      'Lists the versions of a flag, newest first: who changed what, and why. Also of one that was deleted.',
    options: withLimit,
    examples: [['nomaly flags history new-page', '']],
    async run(desk, { output, limit }, key) {
      printItems(output, await desk.history(key, limit), VERSION_COLUMNS, 'It has no versions.')
    },
  })
  addFlagCommand<FlagFlags & { user?: string; attribute?: Record<string, string>; tenant?: string }>(
    flags,
    'evaluate <key>',
    {
      description: 'Says what a flag comes out as for somebody, and why.',
      options: (command) =>
        command
          .option('-u, --user <key>', 'who it is: the targeting key')
          .option(
            '-a, --attribute <name=value>',
            'what rules may ask of them; repeat it for several',
            collectTag,
          )
          .option('--tenant <name>', 'for which tenant, with --installation'),
      examples: [
        ['nomaly flags evaluate new-page --user ann', ''],
        ['nomaly flags evaluate new-page --user ann -a plan=pro', ''],
      ],
      async run(desk, { output, user, attribute = {}, tenant }, key) {
        const attributes = Object.entries(attribute).map(([name, value]): [string, AttributeValue] => [
          name,
          parseAttribute(value),
        ])
        const context: FlagContext = { ...Object.fromEntries(attributes), targetingKey: user }
        printItem(output, await desk.evaluate(key, context, tenant), [
          [
            'Value',
            ({ value }) =>
              paint('bold', value === undefined ? "the program's default" : JSON.stringify(value)),
          ],
          ['Variant', ({ variant }) => variant ?? '–'],
          ['Reason', ({ reason, errorMessage }) => [reason, errorMessage].filter(Boolean).join(': ')],
        ])
      },
    },
  )
}

function registerChanging(flags: Command): void {
  addFlagCommand<ChangeFlags>(flags, 'create <key>', {
    description:
      'Makes a flag. A boolean one has the variants on and off, and is off until it is turned on or rolled out.',
    options: (command) => withChange(withType(command)),
    examples: [
      ['nomaly flags create new-page -d "The page in its new form"', ''],
      ['nomaly flags create colour -t string --variant a=red --variant b=blue --default a --on', ''],
      ['nomaly flags create beta --on --default off -r "plan=pro -> on"', 'for some'],
    ],
    async run(desk, given, key) {
      const change = await readChange(desk, given)
      const input = { ...(given.type === undefined ? {} : { type: given.type }), ...change(undefined) }
      printFlag(desk, given.output, await desk.create(key, input, given.note))
    },
  })
  addFlagCommand<ChangeFlags>(flags, 'set <key>', {
    description: 'Changes a flag; what is not named stays.',
    options: (command) =>
      withChange(command).option('--off', 'turn it off').option('--clear-rules', 'take its rules away'),
    examples: [
      ['nomaly flags set new-page --off -m "too slow"', 'for everybody, within a moment'],
      ['nomaly flags set new-page -r "user=ann,bob -> on"', 'one more rule'],
      ['nomaly flags set new-page --rules rules.json', 'other rules'],
    ],
    async run(desk, given, key) {
      const change = await readChange(desk, given)
      if (Object.keys(change(undefined)).length === 0)
        throw new NomalyError('invalid_input', 'There is nothing to change.', {
          hint: 'Add --help to see what can be.',
        })
      printFlag(desk, given.output, await desk.edit(key, change, given.note))
    },
  })
  addFlagCommand<FlagFlags & { variant?: string; rest?: string }>(flags, 'rollout <key> <percentage>', {
    description:
      'Turns a flag on for a part of all users whom no other rule is for. When the part grows, nobody who has it loses it.',
    options: (command) =>
      withNote(command)
        .option('--variant <name>', 'what they get; on, where there is that')
        .option('--rest <name>', 'what the others get; off, where there is that'),
    examples: [
      ['nomaly flags rollout new-page 5%', 'begin'],
      ['nomaly flags rollout new-page 50% -m "no complaints"', 'go on'],
      ['nomaly flags rollout colour 10% --variant b', 'of a flag with variants of its own'],
    ],
    async run(desk, { output, note, variant, rest }, key, percentage) {
      const share = readPercentage(percentage)
      const change = (flag: FlagView): ReturnType<typeof rolloutChange> =>
        rolloutChange(flag, share, variant, rest)
      printFlag(desk, output, await desk.edit(key, change, note))
    },
  })
  addFlagCommand<FlagFlags & { to?: number }>(flags, 'revert <key>', {
    description:
      'Takes the version before the last change again, or another one; also of a flag that was deleted.',
    options: (command) =>
      withNote(command).option('--to <version>', 'the version to take again', wholeNumber),
    examples: [
      ['nomaly flags revert new-page', 'undoes the last change'],
      ['nomaly flags revert new-page --to 3', 'see `nomaly flags history`'],
    ],
    async run(desk, { output, note, to }, key) {
      printFlag(desk, output, await desk.revert(key, to ?? (await versionBefore(desk, key)), note))
    },
  })
  addFlagCommand<FlagFlags & ConfirmFlags>(flags, 'delete <key>', {
    description:
      'Deletes a flag: programs have their own defaults then. Its history stays, and `revert` brings it back.',
    options: (command) => withNote(withYes(command)),
    examples: [['nomaly flags delete new-page --yes -m "everybody has it"', 'without asking']],
    async run(desk, given, key) {
      await confirm(`Delete the flag ${key}?`, given)
      await desk.remove(key, given.note)
      if (given.output === 'table') print(`Deleted the flag ${key}.`)
    },
  })
}

async function versionBefore(desk: FlagDesk, key: string): Promise<number> {
  const [, before] = await desk.history(key, 2)
  if (before !== undefined) return before.version
  throw new NomalyError(
    'conflict',
    `The flag "${key}" has one version only: there is nothing to go back to.`,
    {
      hint: 'Turn it off, or delete it.',
    },
  )
}

const COLUMNS: readonly Column<FlagView>[] = [
  ['Key', ({ key }) => key],
  ['State', ({ enabled }) => (enabled ? paint('green', 'on') : 'off')],
  ['Type', ({ type }) => type],
  ['Default', ({ defaultVariant }) => defaultVariant],
  ['Rules', ({ rules }) => String(rules.length)],
  ['Version', ({ version }) => String(version)],
  ['Changed', ({ changedAt }) => formatTime(changedAt)],
  ['Description', ({ description }) => description],
]

const VERSION_COLUMNS: readonly Column<FlagVersionView>[] = [
  ['Version', ({ version }) => String(version)],
  ['When', ({ changedAt }) => formatTime(changedAt)],
  ['Who', ({ changedBy }) => changedBy],
  [
    'Why',
    ({ note, revertedTo }) =>
      [revertedTo === null ? '' : `back to ${revertedTo}`, note].filter(Boolean).join(': '),
  ],
  ['What', ({ changes }) => changes.join('; ')],
]

function printFlag(desk: FlagDesk, output: FlagFlags['output'], flag: FlagView): void {
  if (output !== 'table') return output === 'json' ? printJson(flag) : print(JSON.stringify(flag))
  printItem(output, flag, [
    ['Key', ({ key }) => paint('bold', key)],
    ['State', ({ enabled }) => (enabled ? paint('green', 'on') : 'off')],
    ['Type', ({ type }) => type],
    [
      'Variants',
      ({ variants }) =>
        Object.entries(variants)
          .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
          .join('  '),
    ],
    ['Default', ({ defaultVariant }) => defaultVariant],
    ['While off', ({ offVariant }) => offVariant ?? "the program's default"],
    ...(flag.description === '' ? [] : [['About', ({ description }: FlagView) => description] as const]),
    [
      'Version',
      ({ version, changedAt, changedBy }) => `${version}, ${formatTime(changedAt)} by ${changedBy}`,
    ],
  ])
  if (flag.rules.length === 0) return
  print(paint('dim', 'Rules, of which the first that fits decides'))
  flag.rules.forEach((rule, index) => {
    const { tenants } = rule
    const named =
      tenants === undefined ? rule : { ...rule, tenants: tenants.map((id) => desk.tenantName(id)) }
    const about = rule.description === undefined ? '' : paint('dim', `  ${rule.description}`)
    print(`${String(index + 1).padStart(3)}  ${formatRule(named)}${about}`)
  })
}
