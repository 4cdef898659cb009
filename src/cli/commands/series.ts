import type { Command } from 'commander'
import type { SeriesEntry } from '../api-entities.ts'
import { formatTime, seriesName } from '../format-cells.ts'
import { printItems } from '../output.ts'
import { addNoun, addRemote, collectTag, withLimit, type RemoteFlags } from '../remote-command.ts'
import { datasetPath } from './datasets.ts'

interface ListFlags extends RemoteFlags {
  readonly limit: number
  readonly metric?: string
  readonly tag?: Record<string, string>
}

/** Adds `nomaly series …`. */
export function registerSeries(program: Command): void {
  const series = addNoun(program, 'series', 'Series: a metric and its tags, with points.', [
    ['nomaly series list servers', 'the series of a dataset'],
  ])
  addRemote<ListFlags>(series, 'list <dataset>', {
    description: 'Lists the series of a dataset.',
    options: (command) =>
      withLimit(command)
        .option('-m, --metric <name>', 'only of this metric')
        .option('-t, --tag <name=value>', 'only with this tag; repeat it for several', collectTag),
    examples: [
      ['nomaly series list servers', 'all of them'],
      ['nomaly series list servers --metric cpu --tag host=web-1', 'some of them'],
    ],
    async run(client, { output, limit, metric, tag }, dataset) {
      const tags = tag === undefined ? undefined : JSON.stringify(tag)
      const items = await client.list<SeriesEntry>(`${datasetPath(dataset)}/series`, { metric, tags }, limit)
      printItems(
        output,
        items,
        [
          ['Id', (item) => String(item.id)],
          ['Latest point', (item) => formatTime(item.latestAt)],
          ['Series', (item) => seriesName(item.metric, item.tags)],
        ],
        'No series: nothing was ingested yet, or nothing matches.',
      )
    },
  })
}
