import { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { COMMANDS } from '../../src/cli/command-table.ts'
import { runCli } from './run-cli.ts'

/** Every command and sub-command, with its words. */
async function allCommands(): Promise<[string, Command][]> {
  const program = new Command('nomaly')
  for (const { load } of Object.values(COMMANDS)) (await load())(program)
  const found: [string, Command][] = []
  const walk = (command: Command, words: string): void => {
    for (const child of command.commands) {
      const name = `${words} ${child.name()}`.trim()
      found.push([name, child])
      walk(child, name)
    }
  }
  walk(program, '')
  return found
}

function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({ writeOut: (part) => (text += part) }).outputHelp()
  return text
}

describe('help', () => {
  it('of every command says what it does and shows examples of that very command', async () => {
    const commands = await allCommands()
    expect(commands.length).toBeGreaterThan(40)
    for (const [name, command] of commands) {
      const help = helpOf(command)
      expect(command.description(), name).toMatch(/\.$/)
      // A noun may leave the examples to its verbs.
      if (command.commands.length > 0 && !help.includes('Examples:')) continue
      expect(help, name).toContain('Examples:')
      expect(help.split('Examples:')[1], name).toContain(`nomaly ${name}`)
    }
  })

  it('of the whole lists every command, the exit codes, and ends with 0', async () => {
    for (const args of [['--help'], ['-h'], ['help'], []]) {
      const { code, out, err } = await runCli(args)
      expect({ args, code, err }).toEqual({ args, code: 0, err: '' })
      for (const name of Object.keys(COMMANDS)) expect(out).toMatch(new RegExp(`^ {2}${name} `, 'm'))
      expect(out).toContain('130 interrupted')
    }
  })

  it('of one command is found by either way', async () => {
    const { out } = await runCli(['detect', '--help'])
    expect(out).toContain('Usage: nomaly detect [options] <file>')
    expect((await runCli(['help', 'detect'])).out).toBe(out)
  })

  it('is shown, as wrong usage, when the verb is missing', async () => {
    const { code, err } = await runCli(['datasets'])
    expect(code).toBe(2)
    expect(err).toContain('Usage: nomaly datasets')
  })

  it('tells the version', async () => {
    const { code, out } = await runCli(['--version'])
    expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) })
  })
})
