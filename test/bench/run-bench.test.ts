import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { atLeast, atMost, median, reported } from '../../bench/checks.ts'
import { descendants, memoryByProgram } from '../../bench/process-tree.ts'

const MAIN = join(import.meta.dirname, '../../bench/run-bench.ts')

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { code: code as number, out, err }
}

test('a benchmark that does not exist is refused with the names of those that do', async () => {
  const { code, err } = await run('startup', 'start-up')
  expect(code).toBe(2)
  expect(err).toContain('There is no benchmark "start-up"')
  expect(err).toContain('Names: startup, nab, ingest')
})

test('help is no failure, and no name is', async () => {
  expect(await run('--help')).toMatchObject({ code: 0, out: expect.stringContaining('Usage: npm run bench') })
  expect(await run()).toMatchObject({ code: 2 })
})

test('a check is held against its bound before it is rounded', () => {
  expect(atMost('start', 8, 's', 8)).toEqual({
    name: 'start',
    value: 8,
    unit: 's',
    bound: { atMost: 8 },
    ok: true,
  })
  expect(atMost('start', 8.000_01, 's', 8)).toMatchObject({ value: 8, ok: false })
  expect(atLeast('score', 44.999_99, 'of 100', 45)).toMatchObject({ value: 45, ok: false })
  expect(reported('rate', 123_456, '/s')).toMatchObject({ value: 123_500, bound: null, ok: true })
})

test('the median is the middle one by size, not by text', () => {
  expect(median([10, 9, 100])).toBe(10)
  expect(() => median([])).toThrow()
})

test.runIf(process.platform === 'linux')('memory counts a process and those it started', async () => {
  const child = spawn('/bin/sh', ['-c', 'sleep 60 & wait'], { stdio: 'ignore' })
  try {
    const pids = await waitFor(
      () => descendants(child.pid!),
      (found) => found.length === 2,
    )
    expect(pids[0]).toBe(child.pid)
    const bytes = await waitFor(
      () => memoryByProgram(pids),
      (found) => found.has('sleep'),
    )
    expect([...bytes.keys()].toSorted()).toEqual(['sh', 'sleep'])
    for (const each of bytes.values()) expect(each).toBeGreaterThan(10_000)
    process.kill(pids[1]!, 'SIGKILL')
  } finally {
    child.kill('SIGKILL')
  }
})

async function waitFor<T>(look: () => Promise<T>, isRight: (found: T) => boolean): Promise<T> {
  for (;;) {
    const found = await look()
    if (isRight(found)) return found
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
