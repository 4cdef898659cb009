import { InvalidArgumentError, Option, type Command } from 'commander'
import { loadConfig } from '../../config/load.ts'
import type { Config } from '../../config/profiles.ts'
import type { Machine } from '../../database/server-settings.ts'
import { type EmbeddedTuning, showEmbeddedTuning, tuneEmbedded } from '../../operations/open-operations.ts'
import { parseMemory } from '../../operations/tune/parse-memory.ts'
import type { ServerRole, Storage } from '../../operations/tune/server-plan.ts'
import { tuneServer } from '../../operations/tune/tune-server.ts'
import { toConfigurationFile, toStatements, type TunedSetting } from '../../operations/tune/tuning.ts'
import { count } from '../format-cells.ts'
import { withExamples } from '../help-examples.ts'
import { note, type OutputOptions, paint, print, printJson, tableLines, withOutput } from '../output.ts'

interface TuneFlags extends OutputOptions {
  readonly show?: boolean
  readonly role?: ServerRole
  readonly memory?: string
  readonly cpus?: number
  readonly storage: Storage
  readonly processes: number
  readonly as?: 'conf' | 'sql'
}

/** Adds `nomaly tune`. */
export function registerTune(program: Command): void {
  const command = program
    .command('tune')
    .description(
      'Settings of PostgreSQL for this machine and role. The embedded server gets them (it is tuned at each start, too); for a server of ' +
        'your own they are printed.',
    )
    .option('--show', 'only show them, beside those of the architecture decision and those of the server now')
    .addOption(
      new Option(
        '--role <role>',
        'what a server of your own is; a replica has all of a primary, which it may become',
      ).choices(['primary', 'replica']),
    )
    .option(
      '--memory <amount>',
      'memory the server has to itself, such as 16GB; kept for later starts of the embedded one',
    )
    .option('--cpus <number>', 'processors it has to itself', wholeNumber)
    .addOption(new Option('--storage <kind>', 'what its data is on').choices(['ssd', 'disk']).default('ssd'))
    .option('--processes <number>', 'how many processes of Nomaly connect to it', wholeNumber, 3)
    .addOption(
      new Option(
        '--as <form>',
        'print for a server of your own: lines of postgresql.conf, or statements',
      ).choices(['conf', 'sql']),
    )
  withOutput(command)
  withExamples(command, [
    ['nomaly tune --show', 'every setting, and why'],
    ['nomaly tune', 'measure this machine anew for the embedded server'],
    ['nomaly tune --memory 4GB', 'let the embedded server have 4 GB to itself'],
    ['nomaly tune --role replica --memory 64GB --cpus 16 > tuned.conf', 'lines for a server of your own'],
    ['nomaly tune --as sql --memory 16GB --cpus 4 | psql', 'as statements'],
  ])
  command.action(async (flags: TuneFlags) => {
    const config = loadConfig()
    const machine: Partial<Machine> = {
      ...(flags.memory === undefined ? {} : { memoryBytes: parseMemory(flags.memory) }),
      ...(flags.cpus === undefined ? {} : { processors: flags.cpus }),
    }
    const isEmbedded = config.databaseUrl === undefined && flags.role === undefined && flags.as === undefined
    if (isEmbedded) await tuneOurs(config, machine, flags)
    else await tuneTheirs(config, machine, flags)
  })
}

async function tuneOurs(config: Config, machine: Partial<Machine>, flags: TuneFlags): Promise<void> {
  const tuning = flags.show === true ? await showEmbeddedTuning(config) : await tuneEmbedded(config, machine)
  if (flags.output !== 'table') return printJson(tuning)
  const { footing, settings, isRunning, applied, pending } = tuning
  const { isOwn } = footing
  print(
    `The embedded server ${isOwn ? 'has to itself' : 'shares'} ${describe(footing)}${isOwn ? '' : ' with everything on this machine'}.`,
  )
  if (flags.show === true) print(`\n${table(settings)}`)
  else {
    print(applied.length === 0 ? 'Nothing had to be changed.' : `In effect now: ${applied.join(', ')}.`)
    if (!isRunning) print('It does not run: all of it is in effect from the next start on.')
  }
  tellPending(pending)
}

function tellPending(pending: EmbeddedTuning['pending']): void {
  if (pending.length > 0)
    print(paint('yellow', `Needs a restart (\`nomaly stop\`, \`nomaly start\`): ${pending.join(', ')}.`))
}

async function tuneTheirs(config: Config, machine: Partial<Machine>, flags: TuneFlags): Promise<void> {
  const { role = 'primary', storage, processes, as = 'conf', show, output } = flags
  const url = config.databaseUrl === undefined ? undefined : (config.adminDatabaseUrl ?? config.databaseUrl)
  const tuning = await tuneServer(config, url, { role, storage, processes, machine })
  const { plan, settings, notAsked } = tuning
  if (output !== 'table') return printJson(tuning)
  const heading = [
    `For PostgreSQL 15 or newer as ${role}, with ${describe(plan)} and ${storage === 'ssd' ? 'solid state storage' : 'turning disks'} to itself, and`,
    `${count(processes, 'process', 'processes')} of Nomaly (\`nomaly tune\`).`,
  ]
  if (show === true) print(`${heading.join(' ')}\n\n${table(settings)}`)
  else print(as === 'sql' ? toStatements(settings, heading) : toConfigurationFile(settings, heading))
  if (notAsked !== null) note(`What the server has now is not known: ${notAsked}.`)
  else if (url !== undefined) note(tellDifferences(settings))
}

function tellDifferences(settings: readonly TunedSetting[]): string {
  const different = settings.filter(({ differs }) => differs === true)
  if (different.length === 0) return 'The server has all of them.'
  const later = different.filter(({ needsRestart }) => needsRestart).map(({ name }) => name)
  const restart = later.length === 0 ? 'a reload is enough' : `a restart is needed for ${later.join(', ')}`
  return `${count(different.length, 'setting')} of the server ${different.length === 1 ? 'is' : 'are'} different; ${restart}.`
}

function table(settings: readonly TunedSetting[]): string {
  return tableLines(settings, [
    ['Setting', ({ name }) => name],
    ['ADR-015', ({ decided }) => decided ?? ''],
    [
      'Ours',
      ({ value, verdict }) => paint(verdict === 'refused' ? 'yellow' : 'bold', value === '' ? "''" : value),
    ],
    ['Now', ({ now, differs }) => (differs === true ? paint('yellow', now ?? '–') : (now ?? '–'))],
    ['Why', reason],
  ])
}

function reason({ verdict, verdictWhy, why }: TunedSetting): string {
  if (verdict === null) return why
  return verdict === 'measured' ? `measured: ${why} (${verdictWhy})` : `${verdict}: ${verdictWhy}`
}

function describe({ memoryBytes, processors }: Machine): string {
  const gigabytes = memoryBytes / 1024 ** 3
  const memory = gigabytes < 1 ? `${Math.round(gigabytes * 1024)} MB` : `${Number(gigabytes.toFixed(1))} GB`
  return `${memory} of memory and ${count(processors, 'processor')}`
}

function wholeNumber(text: string): number {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1 || number > 1000)
    throw new InvalidArgumentError('It must be a whole number from 1 to 1000.')
  return number
}
