import { InvalidArgumentError, Option, type Command } from 'commander'
import { ALGORITHMS } from '../../detection/algorithms.ts'
import type { Detector } from '../api-entities.ts'
import { confirm, withYes, type ConfirmFlags } from '../confirm.ts'
import { formatBudget } from '../format-cells.ts'
import { print, printItem, printItems, type Column } from '../output.ts'
import { parseBudget } from '../parse-budget.ts'
import { addNoun, addRemote, withLimit, type RemoteFlags } from '../remote-command.ts'

const COLUMNS: readonly Column<Detector>[] = [
  ['Name', (detector) => detector.name],
  ['Algorithm', (detector) => detector.algorithm],
  ['Budget', (detector) => formatBudget(detector.budget)],
  [
    'Parameters',
    (detector) =>
      Object.entries(detector.parameters)
        .map((entry) => entry.join('='))
        .join(' '),
  ],
  ['Id', (detector) => detector.id],
]

export interface DetectorFlags {
  readonly algorithm?: string
  readonly budget?: string
  readonly parameter?: Record<string, number>
}

/** Adds `--algorithm`, `--budget` and `--parameter`. */
export function withDetector(command: Command): Command {
  return command
    .addOption(
      new Option('-a, --algorithm <name>', 'how to judge; auto picks one for each series').choices(
        ALGORITHMS.map(({ name }) => name),
      ),
    )
    .option('-b, --budget <budget>', 'false alarms accepted per series, such as "1 per week"')
    .option('-p, --parameter <name=number>', 'tunes the algorithm; repeat it for several', collectParameter)
}

/** What the API takes as detector settings. */
export function detectorBody(flags: DetectorFlags) {
  return {
    ...(flags.algorithm === undefined ? {} : { algorithm: flags.algorithm }),
    ...(flags.budget === undefined ? {} : { budget: parseBudget(flags.budget) }),
    ...(flags.parameter === undefined ? {} : { parameters: flags.parameter }),
  }
}

function collectParameter(text: string, before: Record<string, number> = {}): Record<string, number> {
  const [name, value] = text.split('=')
  const number = Number(value)
  if (name === undefined || name === '' || value === undefined || value === '' || !Number.isFinite(number)) {
    throw new InvalidArgumentError('It must look like window=288.')
  }
  return { ...before, [name]: number }
}

/** Adds `nomaly detectors …`. */
export function registerDetectors(program: Command): void {
  const detectors = addNoun(
    program,
    'detectors',
    'Detectors: an algorithm with settings of your own, for several jobs.',
    [
      ['nomaly detectors list', 'what there is'],
      ['nomaly detectors create calm --budget "1 per month"', 'fewer, surer alarms'],
    ],
  )
  addRemote<RemoteFlags & { limit: number }>(detectors, 'list', {
    description: 'Lists detectors.',
    options: withLimit,
    examples: [['nomaly detectors list', 'as a table']],
    async run(client, { output, limit }) {
      const items = await client.list<Detector>('/v1/detectors', {}, limit)
      printItems(output, items, COLUMNS, 'There are no detectors: jobs without one pick by themselves.')
    },
  })
  addRemote<RemoteFlags & DetectorFlags>(detectors, 'create <name>', {
    description: 'Creates a detector.',
    options: withDetector,
    examples: [
      ['nomaly detectors create calm --budget "1 per month"', 'fewer, surer alarms'],
      ['nomaly detectors create weekly -a seasonal-residual -p periodSeconds=604800', 'with a known rhythm'],
    ],
    async run(client, flags, name) {
      printItem(
        flags.output,
        await client.post<Detector>('/v1/detectors', { name, ...detectorBody(flags) }),
        COLUMNS,
      )
    },
  })
  addRemote<RemoteFlags & ConfirmFlags>(detectors, 'delete <id>', {
    description: 'Deletes a detector that no job uses.',
    options: withYes,
    examples: [['nomaly detectors delete 3f0c2b1e-… --yes', 'without asking']],
    async run(client, flags, id) {
      await confirm(`Delete detector ${id}?`, flags)
      await client.delete(`/v1/detectors/${encodeURIComponent(id)}`)
      if (flags.output === 'table') print(`Deleted detector ${id}.`)
    },
  })
}
