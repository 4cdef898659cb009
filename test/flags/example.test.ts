import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { eventually, startTestNomaly } from '../support/nomaly.ts'

test('the example greets, hears of a change and greets anew', { timeout: 180_000 }, async () => {
  await using nomaly = await startTestNomaly({ worker: false })
  const body = {
    key: 'greeting',
    type: 'string',
    enabled: true,
    variants: { plain: 'Hello', warm: 'Good morning' },
    defaultVariant: 'plain',
  }
  await nomaly.request('POST', '/v1/flags', { body })
  const child = spawn(process.execPath, [join(import.meta.dirname, '../../examples/feature-flags.ts')], {
    env: { PATH: process.env['PATH'], NOMALY_URL: nomaly.url, NOMALY_API_KEY: nomaly.tenant.key },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  try {
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
    await eventually(async () => output.includes('Hello, dan!'), 60_000)
    await nomaly.request('PATCH', '/v1/flags/greeting', { body: { defaultVariant: 'warm' } })
    await eventually(async () => output.includes('Good morning, dan!'), 60_000)
    expect(output.split('\n')).toEqual([
      ...['ann', 'bob', 'cleo', 'dan'].map((name) => `Hello, ${name}!`),
      'changed: greeting',
      ...['ann', 'bob', 'cleo', 'dan'].map((name) => `Good morning, ${name}!`),
      '',
    ])
    child.kill('SIGTERM')
    expect(await ended).toEqual([0, null])
  } finally {
    child.kill('SIGKILL')
  }
})
