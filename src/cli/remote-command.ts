import { InvalidArgumentError, type Command } from 'commander'
import type { ApiClient } from './api-client.ts'
import { withExamples } from './help-examples.ts'
import { openApiClient, withServer, type ServerFlags } from './open-api-client.ts'
import { withOutput, type OutputOptions } from './output.ts'

export type RemoteFlags = ServerFlags & OutputOptions

export interface RemoteCommand<F extends RemoteFlags> {
  readonly description: string
  /** Arguments and options of its own. */
  readonly options?: (command: Command) => unknown
  readonly examples: readonly (readonly [line: string, what: string])[]
  readonly run: (client: ApiClient, flags: F, ...args: string[]) => Promise<void>
}

/** Adds a noun, below which its verbs stand. */
export function addNoun(
  program: Command,
  name: string,
  description: string,
  examples: RemoteCommand<RemoteFlags>['examples'],
): Command {
  return withExamples(program.command(name).description(description).helpCommand(false), examples)
}

/** Adds a command that talks to the server: with `--output`, `--url`, `--api-key`, and the client opened for its work. */
export function addRemote<F extends RemoteFlags = RemoteFlags>(
  parent: Command,
  usage: string,
  remote: RemoteCommand<F>,
): void {
  const command = parent.command(usage).description(remote.description)
  remote.options?.(command)
  withServer(withOutput(command))
  withExamples(command, remote.examples)
  command.action(async () => {
    const flags = command.opts<F>()
    await remote.run(await openApiClient(flags), flags, ...(command.processedArgs as string[]))
  })
}

/** Adds `--limit`. */
export function withLimit(command: Command): Command {
  return command.option('-n, --limit <number>', 'how many to show at most', wholeNumber, 50)
}

/** Reads a positive whole number given as an option. */
export function wholeNumber(text: string): number {
  const number = Number(text)
  if (Number.isSafeInteger(number) && number > 0) return number
  throw new InvalidArgumentError('It must be a whole number above 0.')
}

/** Reads `key=value` options into an object. */
export function collectTag(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('It must look like host=web-1.')
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) }
}
