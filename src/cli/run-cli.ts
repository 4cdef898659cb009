import { styleText } from 'node:util'
import { Command, CommanderError } from 'commander'
import { COMMANDS } from './command-table.ts'
import { EXIT_CODES } from './exit-codes.ts'
import { withExamples } from './help-examples.ts'
import { reportError } from './report-error.ts'
import { readVersion } from '../version.ts'

const HELP_GROUP = 'Administer:'

/** Runs one command line and sets the exit code of the process; never throws. */
export async function runCli(args: readonly string[]): Promise<void> {
  dieQuietlyOnClosedPipe()
  try {
    const program = makeProgram()
    await addCommands(program, args)
    if (args.length === 0) program.outputHelp()
    else await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) {
      const asked = ['commander.helpDisplayed', 'commander.version'].includes(error.code)
      process.exitCode =
        asked || (error.code === 'commander.help' && args[0] === 'help') ? EXIT_CODES.ok : EXIT_CODES.usage
      return
    }
    process.exitCode = reportError(error)
  }
}

function makeProgram(): Command {
  const program = new Command('nomaly')
    .description('Anomaly detection for metrics, on a database tier that runs itself.')
    .version(readVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .addHelpCommand(
      new Command('help').argument('[command]').description('show help for a command').helpGroup(HELP_GROUP),
    )
    .showSuggestionAfterError()
    .showHelpAfterError('Add --help to see how it is used.')
    .exitOverride()
    .configureHelp({
      styleTitle: (text) => styleText('bold', text, { validateStream: false }),
      styleCommandText: (text) => text,
      styleSubcommandTerm: (text) => styleText('cyan', text, { validateStream: false }),
      styleOptionTerm: (text) => styleText('cyan', text, { validateStream: false }),
    })
    .configureOutput({
      outputError: (text, write) => {
        const message = text.replace(/^error: /, '').trimEnd()
        const label = styleText(['red', 'bold'], 'Error:', { stream: process.stderr })
        write(`${label} ${message[0]?.toUpperCase()}${message.slice(1)}\n`)
      },
    })
  withExamples(program, [
    ['nomaly start', 'start it; the link to the dashboard is printed'],
    ['nomaly detect cpu.csv', 'look at a file right here'],
    ['nomaly ingest cpu.csv --dataset servers --detect', 'load it and keep watching'],
    ['nomaly anomalies list --state open', 'what was found'],
  ])
  return program.addHelpText(
    'after',
    '\nExit codes: 0 done · 1 failed · 2 wrong usage · 3 found something (detect --fail-on-findings) · 130 interrupted',
  )
}

async function addCommands(program: Command, args: readonly string[]): Promise<void> {
  const words = args.filter((arg) => !arg.startsWith('-'))
  const wanted = words[0] === 'help' ? words[1] : words[0]
  for (const [name, entry] of Object.entries(COMMANDS)) {
    if (name === wanted) {
      const register = await entry.load()
      register(program)
      program.commands.find((command) => command.name() === name)?.helpGroup(entry.group)
    } else program.command(name).description(entry.summary).helpGroup(entry.group)
  }
}

/** `nomaly … | head` ends our output before we are done: that is no error. A terminal that was closed answers EIO. */
function dieQuietlyOnClosedPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error
      // A server, which alone listens for a terminal that goes, still has to end in order, with its database.
      if (process.listenerCount('SIGHUP') > 0) return
      process.exit(EXIT_CODES.ok)
    })
  }
}
