import type { Command } from 'commander'
import { formatTime, seriesName } from '../format-cells.ts'
import { print, printJson, tableLines } from '../output.ts'
import { addRemote } from '../remote-command.ts'

interface Demo {
  readonly datasetId: string
  readonly jobId: string
  readonly incidents: readonly {
    readonly metric: string
    readonly tags: Readonly<Record<string, string>>
    readonly from: string
    readonly to: string
    readonly what: string
  }[]
}

/** Adds `nomaly demo`. */
export function registerDemo(program: Command): void {
  addRemote(program, 'demo', {
    description:
      'Loads four weeks of example business metrics, with incidents to be found, and starts a job on them.',
    examples: [
      ['nomaly demo', 'repeating it is harmless'],
      ['nomaly anomalies list', 'afterwards: what was found'],
    ],
    async run(client, { output }) {
      const demo = await client.request<Demo>('POST', '/v1/demo', { timeoutMs: 120_000 })
      if (output !== 'table') {
        printJson(demo)
        return
      }
      print('The demo is loaded. These incidents are hidden in it:\n')
      print(
        tableLines(demo.incidents, [
          ['From', (incident) => formatTime(incident.from)],
          ['To', (incident) => formatTime(incident.to)],
          ['Series', (incident) => seriesName(incident.metric, incident.tags)],
          ['What', (incident) => incident.what],
        ]),
      )
      print(`\nWatch them being found: nomaly jobs watch ${demo.jobId}`)
    },
  })
}
