import { Option, type Command } from 'commander'
import type { ApiClient } from '../api-client.ts'
import type { Anomaly } from '../api-entities.ts'
import { formatNumber, formatTime, seriesName } from '../format-cells.ts'
import { paint, printItem, printItems, type Column } from '../output.ts'
import { addNoun, addRemote, withLimit, type RemoteFlags } from '../remote-command.ts'
import { SEVERITY_STYLES } from '../series-plot.ts'

/** An anomaly as a row of a table. */
export const ANOMALY_COLUMNS: readonly Column<Anomaly>[] = [
  ['Started', (anomaly) => formatTime(anomaly.startedAt)],
  ['Severity', (anomaly) => paint(SEVERITY_STYLES[anomaly.severity], anomaly.severity)],
  ['State', (anomaly) => (anomaly.ongoing ? `${anomaly.state}, ongoing` : anomaly.state)],
  ['Observed', (anomaly) => formatNumber(anomaly.observed)],
  ['Expected', expected],
  ['Id', (anomaly) => paint('dim', anomaly.id)],
  ['Series', (anomaly) => `${anomaly.datasetName}: ${seriesName(anomaly.metric, anomaly.tags)}`],
]
const FIELDS: readonly Column<Anomaly>[] = [
  ['What', (anomaly) => anomaly.explanation],
  [
    'Series',
    (anomaly) =>
      `${anomaly.datasetName}: ${seriesName(anomaly.metric, anomaly.tags)} (series ${anomaly.seriesId})`,
  ],
  [
    'Severity',
    (anomaly) =>
      `${paint(SEVERITY_STYLES[anomaly.severity], anomaly.severity)} (score ${anomaly.score.toFixed(2)})`,
  ],
  ['Started', (anomaly) => formatTime(anomaly.startedAt)],
  ['Ended', (anomaly) => (anomaly.ongoing ? 'still going on' : formatTime(anomaly.endedAt))],
  ['Detected', (anomaly) => formatTime(anomaly.detectedAt)],
  ['Observed', (anomaly) => formatNumber(anomaly.observed)],
  ['Expected', expected],
  ['Algorithm', (anomaly) => anomaly.algorithm],
  ['State', stateSentence],
  ['Job', (anomaly) => anomaly.jobId],
  ['Id', (anomaly) => anomaly.id],
]

function expected({ lower, upper }: Anomaly): string {
  return lower === null || upper === null ? '–' : `${formatNumber(lower)} … ${formatNumber(upper)}`
}

function stateSentence({ state, stateChangedAt, stateChangedBy, note }: Anomaly): string {
  const by = stateChangedBy === null ? '' : ` by ${stateChangedBy}`
  const since = stateChangedAt === null ? '' : ` ${formatTime(stateChangedAt)}${by}`
  return `${state}${since}${note === null ? '' : `: ${note}`}`
}

interface ListFlags extends RemoteFlags {
  readonly limit: number
  readonly state?: string
  readonly severity?: string
  readonly dataset?: string
  readonly job?: string
  readonly from?: string
  readonly to?: string
}

const VERBS = {
  acknowledge: ['Marks an anomaly as seen and being looked into.', 'disk was full, cleaning up'],
  dismiss: ['Marks an anomaly as a false alarm.', 'planned load test'],
  resolve: ['Marks an anomaly as dealt with.', 'rolled back'],
  reopen: ['Opens an anomaly again.', 'it is back'],
} as const

/** Adds `nomaly anomalies …`. */
export function registerAnomalies(program: Command): void {
  const anomalies = addNoun(program, 'anomalies', 'Anomalies: what was found, and what became of it.', [
    ['nomaly anomalies list --state open', 'what needs a look'],
    ['nomaly anomalies show 3f0c2b1e-…', 'why it was found'],
    ['nomaly anomalies dismiss 3f0c2b1e-… --note "load test"', 'a false alarm'],
  ])
  addRemote<ListFlags>(anomalies, 'list', {
    description: 'Lists anomalies, the newest first.',
    options: (command) =>
      withLimit(command)
        .addOption(
          new Option('--state <state>', 'only in this state').choices([
            'open',
            'acknowledged',
            'resolved',
            'dismissed',
          ]),
        )
        .addOption(
          new Option('--severity <severity>', 'only of this severity').choices([
            'low',
            'medium',
            'high',
            'critical',
          ]),
        )
        .option('--dataset <dataset>', 'only of this dataset, by name or id')
        .option('--job <id>', 'only found by this job')
        .option('--from <time>', 'only those that started at this time or later (ISO 8601)')
        .option('--to <time>', 'only those that started before this time (ISO 8601)'),
    examples: [
      ['nomaly anomalies list --state open', 'what needs a look'],
      ['nomaly anomalies list --dataset servers --severity critical', 'the worst of one dataset'],
      ['nomaly anomalies list -o ndjson --from 2026-01-01', 'for a program, a line each'],
    ],
    run: list,
  })
  addRemote(anomalies, 'show <id>', {
    description: 'Shows one anomaly with its explanation.',
    examples: [['nomaly anomalies show 3f0c2b1e-…', 'ids stand in the list']],
    async run(client, { output }, id) {
      printItem(output, await client.get<Anomaly>(anomalyPath(id)), FIELDS)
    },
  })
  for (const [verb, [description, note]] of Object.entries(VERBS)) {
    addRemote<RemoteFlags & { note?: string }>(anomalies, `${verb} <id>`, {
      description,
      options: (command) => command.option('--note <text>', 'why, for those who read it later'),
      examples: [[`nomaly anomalies ${verb} 3f0c2b1e-… --note "${note}"`, 'with a note']],
      async run(client, flags, id) {
        const body = flags.note === undefined ? {} : { note: flags.note }
        printItem(flags.output, await client.post<Anomaly>(`${anomalyPath(id)}/${verb}`, body), FIELDS)
      },
    })
  }
}

async function list(client: ApiClient, flags: ListFlags): Promise<void> {
  const { output, limit, state, severity, job, from, to } = flags
  const datasetId = flags.dataset === undefined ? undefined : await datasetIdOf(client, flags.dataset)
  const query = { state, severity, datasetId, jobId: job, from, to }
  printItems(
    output,
    await client.list<Anomaly>('/v1/anomalies', query, limit),
    ANOMALY_COLUMNS,
    'Nothing was found.',
  )
}

/** Id of a dataset given by name or id. */
export async function datasetIdOf(client: ApiClient, dataset: string): Promise<string> {
  return (await client.get<{ id: string }>(`/v1/datasets/${encodeURIComponent(dataset)}`)).id
}

function anomalyPath(id: string): string {
  return `/v1/anomalies/${encodeURIComponent(id)}`
}
