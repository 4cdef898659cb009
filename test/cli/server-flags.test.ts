import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'

const FLAGS = new URL('../../src/cli/server-flags.ts', import.meta.url).href
const SCRIPT = `const { restartWithFlags } = await import('${FLAGS}')
restartWithFlags(JSON.parse(process.env.ARGS))
console.log(JSON.stringify({ pid: process.pid, flags: process.execArgv.filter((flag) => /^--(max|heap)-/.test(flag)), rest: process.argv.slice(1) }))`

interface Run {
  readonly pid: number
  readonly flags: readonly string[]
  readonly rest: readonly string[]
  readonly stderr: string
  readonly started: number
}

async function run(args: readonly string[], flags: readonly string[] = []): Promise<Run> {
  const child = spawn(process.execPath, [...flags, '--input-type=module', '-e', SCRIPT, 'one', 'two words'], {
    env: { ...process.env, ARGS: JSON.stringify(args) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { ...(JSON.parse(stdout) as Omit<Run, 'stderr' | 'started'>), stderr, started: child.pid! }
}

describe.skipIf(process.platform === 'win32')('a server', () => {
  it('begins anew once with the flags of a server, as the same process and with the same arguments', async () => {
    const { pid, flags, rest, stderr, started } = await run(['start', '--api-only'])
    expect({ pid, flags, stderr }).toEqual({
      pid: started,
      flags: ['--max-semi-space-size=8', '--heap-growing-percent=60'],
      stderr: '',
    })
    expect(rest).toEqual(['one', 'two words'])
  })

  it('leaves alone what was chosen, and commands that are no servers', async () => {
    const chosen = '--max-semi-space-size=32'
    expect(await run(['worker'], [chosen])).toMatchObject({ flags: [chosen], stderr: '' })
    expect(await run(['status'])).toMatchObject({ flags: [], stderr: '' })
    expect(await run([])).toMatchObject({ flags: [] })
  })
})
