import { Option, type Command } from 'commander'
import { confirm, withYes, type ConfirmFlags } from '../confirm.ts'
import { formatTime } from '../format-cells.ts'
import { note, paint, print, printItem, printItems, type Column } from '../output.ts'
import { addNoun, addRemote, withLimit, type RemoteFlags } from '../remote-command.ts'

interface Key {
  readonly id: string
  readonly name: string
  readonly role: string
  readonly createdAt?: string
  readonly key?: string
}

const COLUMNS: readonly Column<Key>[] = [
  ['Name', (key) => key.name],
  ['Role', (key) => key.role],
  ['Created', (key) => formatTime(key.createdAt)],
  ['Id', (key) => key.id],
]

/** Adds `nomaly keys …`. */
export function registerKeys(program: Command): void {
  const keys = addNoun(program, 'keys', 'API keys: who may read, change or administer.', [
    ['nomaly keys list', 'who has access'],
    ['nomaly keys create collector --role editor', 'prints the key, once'],
    ['nomaly keys revoke 3f0c2b1e-…', 'asks first'],
  ])
  addRemote<RemoteFlags & { limit: number }>(keys, 'list', {
    description: 'Lists API keys; the keys themselves are not kept.',
    options: withLimit,
    examples: [['nomaly keys list', 'names, roles and ids']],
    async run(client, { output, limit }) {
      printItems(output, await client.list<Key>('/v1/keys', {}, limit), COLUMNS, 'There are no keys.')
    },
  })
  addRemote<RemoteFlags & { role: string }>(keys, 'create <name>', {
    description: 'Creates an API key and prints it, once.',
    options: (command) =>
      command.addOption(
        new Option('--role <role>', 'what it may do')
          .choices(['admin', 'editor', 'viewer'])
          .default('editor'),
      ),
    examples: [
      ['nomaly keys create collector', 'may send data and change jobs'],
      ['nomaly keys create wall-screen --role viewer', 'may only look'],
    ],
    async run(client, { output, role }, name) {
      const created = await client.post<Key>('/v1/keys', { name, role })
      printItem(output, created, [
        ['Key', (key) => paint('bold', key.key ?? '')],
        ...COLUMNS.filter(([title]) => title !== 'Created'),
      ])
      note('Keep it now: it is not shown again.')
    },
  })
  addRemote<RemoteFlags & ConfirmFlags>(keys, 'revoke <id>', {
    description: 'Revokes an API key at once.',
    options: withYes,
    examples: [['nomaly keys revoke 3f0c2b1e-… --yes', 'ids stand in the list']],
    async run(client, flags, id) {
      await confirm(`Revoke key ${id}? What uses it stops working.`, flags)
      await client.delete(`/v1/keys/${encodeURIComponent(id)}`)
      if (flags.output === 'table') print(`Revoked key ${id}.`)
    },
  })
}
