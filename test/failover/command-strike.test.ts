import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Member } from '../../src/operations/failover/cluster-view.ts'
import { CommandStrike } from '../../src/operations/failover/command-strike.ts'

const leader: Member = {
  name: "db1'; touch broken; '",
  role: 'leader',
  isUp: true,
  host: '10.0.0.1',
  port: 5432,
  timeline: 1,
  lagBytes: undefined,
}
const never = new AbortController().signal

test('commands are told what they are about, and names are no commands', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'nomaly-strike-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const write = (name: string): string =>
    `cd '${folder}' && printf '%s %s %s %s' "$NOMALY_DRILL_KIND" "$NOMALY_DRILL_NODE" "$NOMALY_DRILL_HOST" "$NOMALY_DRILL_PORT" > ${name}`
  const strike = new CommandStrike({ strike: write('strike'), heal: write('heal'), cut: write('cut') })
  expect(await strike.cutReplication(leader, never)).toBe(true)
  await strike.strike('freeze', leader, never)
  await strike.heal('freeze', leader, never)
  const told = `${leader.name} 10.0.0.1 5432`
  expect(await readFile(join(folder, 'cut'), 'utf8')).toBe(`cut ${told}`)
  expect(await readFile(join(folder, 'strike'), 'utf8')).toBe(`freeze ${told}`)
  expect(await readFile(join(folder, 'heal'), 'utf8')).toBe(`freeze ${told}`)
  await expect(readFile(join(folder, 'broken'))).rejects.toThrow('ENOENT')
})

test('what has no command is left out; what fails says what it said', async () => {
  const strike = new CommandStrike({ strike: 'echo no such machine >&2; exit 3' })
  expect(await strike.cutReplication(leader, never)).toBe(false)
  await strike.heal('kill', leader, never)
  await expect(strike.strike('kill', leader, never)).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringMatching(/ended with 3: no such machine/),
  })
})

test('a command that hangs ends with the drill', async () => {
  const strike = new CommandStrike({ strike: 'exec sleep 600' })
  const reason = new Error('interrupted')
  const controller = new AbortController()
  const striking = strike.strike('kill', leader, controller.signal)
  controller.abort(reason)
  await expect(striking).rejects.toBe(reason)
})
