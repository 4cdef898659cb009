import { Option, type Command } from 'commander'
import type { Dataset } from '../api-entities.ts'
import { confirm, withYes, type ConfirmFlags } from '../confirm.ts'
import { formatTime } from '../format-cells.ts'
import { print, printItem, printItems, type Column } from '../output.ts'
import { addNoun, addRemote, withLimit, type RemoteFlags } from '../remote-command.ts'

const COLUMNS: readonly Column<Dataset>[] = [
  ['Name', (dataset) => dataset.name],
  ['Series', (dataset) => dataset.seriesCount.toLocaleString('en-US')],
  ['Latest point', (dataset) => formatTime(dataset.latestAt)],
  ['Kept', (dataset) => dataset.retention],
  ['Description', (dataset) => dataset.description ?? ''],
]
const FIELDS: readonly Column<Dataset>[] = [
  ...COLUMNS,
  ['Created', (dataset) => formatTime(dataset.createdAt)],
  ['Id', (dataset) => dataset.id],
]

/** Adds `nomaly datasets …`. */
export function registerDatasets(program: Command): void {
  const datasets = addNoun(program, 'datasets', 'Datasets: named sources of data, made of series.', [
    ['nomaly datasets list', 'what there is'],
    ['nomaly datasets show servers', 'one of them'],
    ['nomaly datasets create servers --retention year', 'a new one'],
    ['nomaly datasets delete servers', 'asks first'],
  ])
  addRemote<RemoteFlags & { limit: number }>(datasets, 'list', {
    description: 'Lists datasets.',
    options: withLimit,
    examples: [
      ['nomaly datasets list', 'as a table'],
      ['nomaly datasets list -o json', 'for a program'],
    ],
    async run(client, { output, limit }) {
      const items = await client.list<Dataset>('/v1/datasets', {}, limit)
      printItems(
        output,
        items,
        COLUMNS,
        'There are no datasets: make one with `nomaly ingest FILE --dataset NAME`.',
      )
    },
  })
  addRemote(datasets, 'show <dataset>', {
    description: 'Shows one dataset, by name or id.',
    examples: [['nomaly datasets show servers', 'its series, its newest point']],
    async run(client, { output }, dataset) {
      printItem(output, await client.get<Dataset>(datasetPath(dataset)), FIELDS)
    },
  })
  addRemote<RemoteFlags & { description?: string; retention: string }>(datasets, 'create <name>', {
    description: 'Creates a dataset.',
    options: (command) =>
      command
        .option('--description <text>', 'what it holds')
        .addOption(
          new Option('--retention <class>', 'how long points are kept')
            .choices(['forever', 'year', 'month', 'week'])
            .default('forever'),
        ),
    examples: [['nomaly datasets create servers --retention year', 'points older than a year are dropped']],
    async run(client, { output, description, retention }, name) {
      const created = await client.post<Dataset>('/v1/datasets', { name, description, retention })
      printItem(output, created, FIELDS)
    },
  })
  addRemote<RemoteFlags & ConfirmFlags>(datasets, 'delete <dataset>', {
    description: 'Deletes a dataset with its points, jobs and anomalies.',
    options: withYes,
    examples: [['nomaly datasets delete servers --yes', 'without asking']],
    async run(client, flags, dataset) {
      await confirm(`Delete dataset "${dataset}" with all its points, jobs and anomalies?`, flags)
      await client.delete(datasetPath(dataset))
      if (flags.output === 'table') print(`Deleted dataset "${dataset}".`)
    },
  })
}

/** Path of a dataset in the API, by name or id. */
export function datasetPath(dataset: string): string {
  return `/v1/datasets/${encodeURIComponent(dataset)}`
}
