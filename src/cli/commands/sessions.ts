import type { Command } from 'commander'
import { confirm, withYes, type ConfirmFlags } from '../confirm.ts'
import { formatTime } from '../format-cells.ts'
import { print, printItems, type Column } from '../output.ts'
import { addNoun, addRemote, withLimit, type RemoteFlags } from '../remote-command.ts'

interface Session {
  readonly id: string
  readonly device: string
  readonly role: string
  readonly key: { readonly name: string } | null
  readonly createdAt: string
  readonly lastSeenAt: string
}

interface AllFlags {
  readonly all?: boolean
}

const COLUMNS: readonly Column<Session>[] = [
  ['Device', (session) => session.device],
  ['Role', (session) => session.role],
  ['Key', (session) => session.key?.name ?? 'printed link'],
  ['Signed in', (session) => formatTime(session.createdAt)],
  ['Last seen', (session) => formatTime(session.lastSeenAt)],
  ['Id', (session) => session.id],
]

/** Adds `nomaly sessions …`. */
export function registerSessions(program: Command): void {
  const sessions = addNoun(program, 'sessions', 'Browsers that are signed in.', [
    ['nomaly sessions list --all', 'every browser of the tenant'],
    ['nomaly sessions revoke 3f0c2b1e-…', 'signs one out; asks first'],
    ['nomaly sessions revoke-all', 'signs out those of this key; asks first'],
  ])
  addRemote<RemoteFlags & AllFlags & { limit: number }>(sessions, 'list', {
    description: 'Lists the browsers that were signed in by links of this key.',
    options: (command) => withLimit(withAll(command)),
    examples: [
      ['nomaly sessions list', 'those of the key that the command line uses'],
      ['nomaly sessions list --all', 'those of the whole tenant'],
    ],
    async run(client, { output, limit, all }) {
      const found = await client.list<Session>('/v1/sessions', all === true ? { all: 'true' } : {}, limit)
      printItems(output, found, COLUMNS, 'No browser is signed in.')
    },
  })
  addRemote<RemoteFlags & ConfirmFlags>(sessions, 'revoke <id>', {
    description: 'Signs a browser out at once.',
    options: withYes,
    examples: [['nomaly sessions revoke 3f0c2b1e-… --yes', 'ids stand in the list']],
    async run(client, flags, id) {
      await confirm(`Sign out browser ${id}?`, flags)
      await client.delete(`/v1/sessions/${encodeURIComponent(id)}`)
      if (flags.output === 'table') print(`Signed out browser ${id}.`)
    },
  })
  addRemote<RemoteFlags & ConfirmFlags & AllFlags>(sessions, 'revoke-all', {
    description:
      'Signs out every browser of this key at once. Its links that were not used yet sign nobody in any more.',
    options: (command) => withYes(withAll(command)),
    examples: [
      ['nomaly sessions revoke-all', 'those of the key that the command line uses'],
      ['nomaly sessions revoke-all --all --yes', 'those of the whole tenant, without asking'],
    ],
    async run(client, flags) {
      const whose = flags.all === true ? 'of the tenant' : 'of this key'
      await confirm(`Sign out every browser ${whose}?`, flags)
      await client.post(`/v1/sign-out-everywhere${flags.all === true ? '?all=true' : ''}`)
      if (flags.output === 'table') print(`Signed out every browser ${whose}.`)
    },
  })
}

function withAll(command: Command): Command {
  return command.option('--all', 'those of the whole tenant; for administrators')
}
