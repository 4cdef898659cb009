import type { Command } from 'commander'
import { print, printJson } from '../output.ts'
import { addRemote } from '../remote-command.ts'

/** Adds `nomaly link`. */
export function registerLink(program: Command): void {
  addRemote(program, 'link', {
    description: 'Prints a fresh link that signs one browser in, once, within a quarter of an hour.',
    examples: [
      ['nomaly link', ''],
      ['xdg-open "$(nomaly link)"', 'straight into the browser'],
    ],
    async run(client, { output }) {
      const { path } = await client.post<{ path: string }>('/v1/sign-in-links')
      const url = `${client.url}${path}`
      if (output === 'table') print(url)
      else printJson({ url })
    },
  })
}
