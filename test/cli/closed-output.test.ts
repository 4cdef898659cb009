import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createMigratedDatabase, eventually, testConfig } from '../support/nomaly.ts'

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts')

test('a server whose output nobody reads any more ends in order', async () => {
  const { database, databaseUrl } = await createMigratedDatabase()
  await using _database = database
  const folder = await mkdtemp(join(tmpdir(), 'nomaly-test-'))
  const child = spawn(process.execPath, [MAIN, 'start'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      DATABASE_URL: databaseUrl,
      ADMIN_DATABASE_URL: database.adminUrl,
      NOMALY_METRICS_ENGINE: testConfig().metricsEngine,
      NOMALY_DATA_DIR: folder,
      NOMALY_PORT: '0',
    },
  })
  try {
    const exited = once(child, 'exit')
    let output = ''
    child.stdout.on('data', (text: Buffer) => (output += text.toString()))
    await eventually(async () => output.includes('/sign-in?token='))
    child.stdout.destroy()
    child.stderr.destroy()
    child.kill('SIGTERM')
    expect(await exited).toEqual([0, null])
    // It takes its name out of the folder as the last thing it does.
    expect(existsSync(join(folder, 'owner.json'))).toBe(false)
  } finally {
    child.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  }
})
