import type { Command } from 'commander'
import { confirm, withYes, type ConfirmFlags } from '../confirm.ts'
import { note, paint, print, printItem, printJson } from '../output.ts'
import { addNoun, addRemote, type RemoteFlags } from '../remote-command.ts'

interface Webhook {
  readonly url: string
  readonly secret?: string
}

/** Adds `nomaly webhook …`. */
export function registerWebhook(program: Command): void {
  const webhook = addNoun(
    program,
    'webhook',
    'The webhook: an address that is called on each finding, signed.',
    [
      ['nomaly webhook set https://hooks.example.org/nomaly', 'call this on each finding'],
      ['nomaly webhook test', 'does it arrive?'],
    ],
  )
  addRemote(webhook, 'show', {
    description: 'Shows the address.',
    examples: [['nomaly webhook show', 'where findings are sent']],
    async run(client, { output }) {
      const found = await client.get<Webhook | null>('/v1/webhook')
      if (output !== 'table') printJson(found ?? null)
      else print(found?.url ?? 'No webhook is set: `nomaly webhook set URL` sets one.')
    },
  })
  addRemote(webhook, 'set <address>', {
    description: 'Sets the address, and prints the secret that signs what is sent, once.',
    examples: [['nomaly webhook set https://hooks.example.org/nomaly', 'replaces the one before']],
    async run(client, { output }, address) {
      const set = await client.put<Webhook>('/v1/webhook', { url: address })
      printItem(output, set, [
        ['Address', ({ url }) => url],
        ['Secret', ({ secret }) => paint('bold', secret ?? '')],
      ])
      note('Keep the secret now: it is not shown again.')
    },
  })
  addRemote<RemoteFlags & ConfirmFlags>(webhook, 'remove', {
    description: 'Removes the address: nothing is called any more.',
    options: withYes,
    examples: [['nomaly webhook remove --yes', 'without asking']],
    async run(client, flags) {
      await confirm('Remove the webhook?', flags)
      await client.delete('/v1/webhook')
      if (flags.output === 'table') print('Removed the webhook.')
    },
  })
  addRemote(webhook, 'test', {
    description: 'Sends a test to the address.',
    examples: [['nomaly webhook test', 'does it arrive?']],
    async run(client, { output }) {
      const answer = await client.post<Record<string, unknown> | undefined>('/v1/webhook/test')
      if (output !== 'table') printJson(answer ?? null)
      else
        for (const [name, value] of Object.entries(answer ?? { sent: true }))
          print(`${paint('dim', name)}  ${String(value)}`)
    },
  })
}
