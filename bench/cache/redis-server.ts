import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'redis'
import { findRedisProgram } from '../../test/support/redis-programs.ts'
import { freePorts } from '../instance.ts'

/** A Redis to measure on: that of `REDIS_URL`, or one of this run's own. */
export interface BenchRedis extends AsyncDisposable {
  readonly url: string
  readonly version: string
}

export async function startBenchRedis(directory: string): Promise<BenchRedis> {
  const given = process.env['REDIS_URL']
  if (given !== undefined && given !== '')
    return { url: given, version: await readVersion(given), [Symbol.asyncDispose]: async () => {} }
  const program = await findRedisProgram(join(directory, 'redis-programs'))
  const [port] = await freePorts(1)
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const child = spawn(program.server, settings, {
    cwd: directory,
    env: { ...process.env, ...program.environment },
    stdio: 'ignore',
  })
  const url = `redis://127.0.0.1:${port}/0`
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
  for (let tries = 1; ; tries++)
    try {
      return { url, version: await readVersion(url), [Symbol.asyncDispose]: stop }
    } catch (error) {
      if (tries === 100) {
        await stop()
        throw error
      }
      await sleep(50)
    }
}

async function readVersion(url: string): Promise<string> {
  const client = createClient({ url, socket: { reconnectStrategy: false } })
  client.on('error', () => {})
  try {
    await client.connect()
    return /redis_version:(\S+)/.exec(await client.info('server'))?.[1] ?? 'unknown'
  } finally {
    client.destroy()
  }
}
