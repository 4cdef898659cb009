import type { Command } from 'commander'
import type { SettingState } from '../../flags/live-settings.ts'
import { findSetting, type SettingValue } from '../../flags/setting-catalogue.ts'
import type { SettingDesk } from '../../flags/setting-desk.ts'
import type { Store } from '../../store/store.ts'
import { withNote } from '../flag-command.ts'
import { formatTime } from '../format-cells.ts'
import { withExamples } from '../help-examples.ts'
import { withOperatorStore } from '../operator-store.ts'
import { type OutputOptions, paint, printItem, printItems, withOutput, type Column } from '../output.ts'
import { wholeNumber, withLimit } from '../remote-command.ts'

interface SettingView {
  readonly name: string
  readonly value: SettingValue
  readonly default: SettingValue
  readonly isChanged: boolean
  readonly version: number
  readonly unit: string
  readonly allowed: string
  readonly variable: string
  readonly description: string
}

type NoteFlags = OutputOptions & { readonly note?: string }

/** Adds `nomaly settings …`. */
export function registerSettings(program: Command): void {
  const command = program
    .command('settings')
    .description(
      'Settings of the installation that change while it runs, in all of its processes. For operators, on the database itself.',
    )
    .helpCommand(false)
  withExamples(command, [
    ['nomaly settings list', 'what there is, and what holds'],
    ['nomaly settings set log-level debug -m "a slow page"', 'within a moment, without a restart'],
    ['nomaly settings revert log-level', 'back to what it was'],
  ])
  registerLooking(command)
  registerChanging(command)
}

function registerLooking(command: Command): void {
  const list = command.command('list').description('Lists what can be changed, and what holds.')
  withExamples(withOutput(list), [['nomaly settings list', '']])
  list.action(async ({ output }: OutputOptions) => {
    const views = await withOperatorStore(async (store) => store.liveSettings.list().map(viewOf))
    printItems(output, views, COLUMNS, '')
  })

  const get = command
    .command('get')
    .description('Shows a setting: what holds, what it may be, and what it does.')
    .argument('<name>')
  withExamples(withOutput(get), [['nomaly settings get slow-statement-ms', '']])
  get.action(async (name: string, { output }: OutputOptions) => {
    printSetting(output, await withOperatorStore(async (store) => stateOf(store, name)))
  })

  const history = command
    .command('history')
    .description('Lists the values that a setting has had, newest first: who set it, when and why.')
    .argument('<name>')
  withExamples(withLimit(withOutput(history)), [['nomaly settings history log-level', '']])
  history.action(async (name: string, { output, limit }: OutputOptions & { limit: number }) => {
    const { items } = await withOperatorStore((store) =>
      store.liveSettings.look((desk) => desk.history(name, { limit })),
    )
    const views = items.map(({ version, value = null, changedAt, changedBy, revertedTo, note }) => ({
      version,
      value,
      changedAt,
      changedBy,
      revertedTo,
      note,
    }))
    printItems(
      output,
      views,
      [
        ['Version', ({ version }) => String(version)],
        ['Value', ({ value }) => (value === null ? 'default' : String(value))],
        ['When', ({ changedAt }) => formatTime(changedAt.getTime())],
        ['Who', ({ changedBy }) => changedBy],
        [
          'Why',
          ({ note, revertedTo }) =>
            [revertedTo === null ? '' : `back to ${revertedTo}`, note].filter(Boolean).join(': '),
        ],
      ],
      'It was never changed.',
    )
  })
}

function registerChanging(command: Command): void {
  const set = command
    .command('set')
    .description('Sets a setting, in every process of the installation.')
    .argument('<name>')
    .argument('<value>')
  withExamples(withNote(withOutput(set)), [
    ['nomaly settings set slow-statement-ms 500', 'logs what takes half a second or longer'],
    ['nomaly settings set event-retention-hours 72 -m "audit next week"', ''],
  ])
  set.action((name: string, value: string, { output, note }: NoteFlags) =>
    change(name, output, (desk, actor) => desk.set(name, value, { actor, note })),
  )

  const reset = command
    .command('reset')
    .description('Lets the default hold again, which each process has from its environment.')
    .argument('<name>')
  withExamples(withNote(withOutput(reset)), [['nomaly settings reset log-level', '']])
  reset.action((name: string, { output, note }: NoteFlags) =>
    change(name, output, (desk, actor) => desk.reset(name, { actor, note })),
  )

  const revert = command
    .command('revert')
    .description('Takes the value before the last change again, or that of another version.')
    .argument('<name>')
    .option('--to <version>', 'the version to take again', wholeNumber)
  withExamples(withNote(withOutput(revert)), [
    ['nomaly settings revert log-level', 'undoes the last change'],
    ['nomaly settings revert log-level --to 2', 'see `nomaly settings history`'],
  ])
  revert.action((name: string, { output, note, to }: NoteFlags & { to?: number }) =>
    change(name, output, (desk, actor) => desk.revert(name, to, { actor, note })),
  )
}

async function change(
  name: string,
  output: OutputOptions['output'],
  work: (desk: SettingDesk, actor: string) => Promise<unknown>,
): Promise<void> {
  const view = await withOperatorStore(async (store, actor) => {
    await store.liveSettings.operate((desk) => work(desk, actor))
    return stateOf(store, name)
  })
  printSetting(output, view)
}

function stateOf(store: Store, name: string): SettingView {
  return viewOf(store.liveSettings.state(findSetting(name)))
}

function viewOf({
  kind,
  fallback,
  name,
  value,
  isChanged,
  version,
  variable,
  description,
}: SettingState): SettingView {
  return {
    name,
    value,
    isChanged,
    version,
    variable,
    description,
    default: fallback,
    unit: kind.type === 'integer' ? (kind.unit ?? '') : '',
    allowed:
      kind.type === 'integer'
        ? `${kind.min} to ${kind.max}`
        : kind.type === 'choice'
          ? kind.choices.join(', ')
          : '',
  }
}

const COLUMNS: readonly Column<SettingView>[] = [
  ['Name', ({ name }) => name],
  ['Value', ({ value, unit, isChanged }) => paint(isChanged ? 'bold' : 'reset', `${value} ${unit}`.trim())],
  ['Default', (view) => String(view.default)],
  ['Version', ({ version }) => (version === 0 ? '–' : String(version))],
  ['What it does', ({ description }) => description],
]

function printSetting(output: OutputOptions['output'], view: SettingView): void {
  printItem(output, view, [
    ['Name', ({ name }) => paint('bold', name)],
    ['Value', ({ value, unit }) => `${value} ${unit}`.trim()],
    ['Default', (each) => `${each.default}, from ${each.variable} as it is set here`],
    ['May be', ({ allowed, unit }) => `${allowed} ${unit}`.trim()],
    ['Version', ({ version }) => (version === 0 ? 'never changed' : String(version))],
    ['About', ({ description }) => description],
  ])
}
