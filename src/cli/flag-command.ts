import type { Command } from 'commander'
import { type FlagDesk, RemoteFlagDesk } from './flag-desk.ts'
import { withExamples } from './help-examples.ts'
import { InstallationFlagDesk } from './installation-flag-desk.ts'
import { openApiClient, withServer } from './open-api-client.ts'
import { withOperatorStore } from './operator-store.ts'
import { withOutput } from './output.ts'
import type { RemoteCommand, RemoteFlags } from './remote-command.ts'

export interface FlagFlags extends RemoteFlags {
  readonly installation?: boolean
  readonly note?: string
}

export interface FlagCommand<F extends FlagFlags> {
  readonly description: string
  readonly options?: (command: Command) => unknown
  readonly examples: RemoteCommand<RemoteFlags>['examples']
  readonly run: (desk: FlagDesk, flags: F, ...args: string[]) => Promise<void>
}

/** Adds a command on flags: those of the tenant, through its server, or with `--installation` the operator's, on the database. */
export function addFlagCommand<F extends FlagFlags = FlagFlags>(
  parent: Command,
  usage: string,
  { description, options, examples, run }: FlagCommand<F>,
): void {
  const command = parent.command(usage).description(description)
  options?.(command)
  command.option('--installation', 'flags of the installation instead: for operators, on the database itself')
  withServer(withOutput(command))
  withExamples(command, examples)
  command.action(async () => {
    const flags = command.opts<F>()
    const args = command.processedArgs as string[]
    if (flags.installation !== true)
      return run(new RemoteFlagDesk(await openApiClient(flags)), flags, ...args)
    await withOperatorStore(async (store, actor) =>
      run(await InstallationFlagDesk.open(store, actor), flags, ...args),
    )
  })
}

/** Adds `--note`. */
export function withNote(command: Command): Command {
  return command.option('-m, --note <text>', 'why; stands in the history')
}
