import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { runCli, type CliResult } from './run-cli.ts'

let nomaly: TestNomaly
let folder: string
const path = (name: string): string => join(folder, name)

const START = Date.UTC(2026, 0, 1)
const rows = Array.from({ length: 3000 }, (_, at) => {
  const level = 50 + (at % 7) + ((at * 7919) % 13) / 13
  return `${new Date(START + at * 60_000).toISOString()},web-1,${at === 2500 ? 900 : level}`
})

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nomaly-remote-'))
  nomaly = await startTestNomaly()
  await writeFile(path('load.csv'), ['time,host,load', ...rows].join('\n'))
  await writeFile(
    path('odd.csv'),
    ['time,host,load', ...rows.slice(0, 10), 'never,web-1,1', `${rows[0]!.slice(0, -2)}77`].join('\n'),
  )
})

afterAll(async () => {
  await nomaly[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

function cli(...args: string[]): Promise<CliResult> {
  return runCli(args, { env: { NOMALY_URL: nomaly.url, NOMALY_API_KEY: nomaly.tenant.key } })
}

/** The JSON that a command prints; fails when the command did. */
// What a test expects of an answer is what it asserts.
// eslint-disable-next-line typescript/no-explicit-any
async function json(...args: string[]): Promise<any> {
  const { code, out, err } = await cli(...args, '-o', 'json')
  expect({ args, code, err }).toMatchObject({ args, code: 0 })
  return JSON.parse(out)
}

describe('the command line against a server', () => {
  it('loads a file, again without harm, and says what was refused by its line in the file', async () => {
    const first = await cli('ingest', path('load.csv'), '--dataset', 'servers')
    expect(first).toMatchObject({ code: 0, err: '' })
    expect(first.out).toContain('3,000 points inserted · new dataset "servers"')
    const again = await json('ingest', path('load.csv'), '--dataset', 'servers')
    expect(again).toMatchObject({
      created: false,
      inserted: 0,
      duplicates: 3000,
      conflicting: 0,
      rejectedTotal: 0,
    })
    const odd = await json('ingest', path('odd.csv'), '--dataset', 'servers')
    expect(odd).toMatchObject({
      inserted: 0,
      duplicates: 10,
      conflicting: 1,
      rejectedTotal: 1,
      rejected: [{ line: 12 }],
    })
    expect(await json('datasets', 'show', 'servers')).toMatchObject({ name: 'servers', seriesCount: 1 })
    expect(await json('series', 'list', 'servers', '--tag', 'host=web-1')).toMatchObject([
      { metric: 'load', tags: { host: 'web-1' } },
    ])
    expect(await json('series', 'list', 'servers', '--tag', 'host=web-2')).toEqual([])
  })

  it('sends lines that come one by one, and ends in order when it is interrupted', async () => {
    const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
    const child = spawn(process.execPath, [main, 'ingest', '-', '-f', 'ndjson', '-d', 'live'], {
      env: { NOMALY_URL: nomaly.url, NOMALY_API_KEY: nomaly.tenant.key },
      stdio: ['pipe', 'ignore', 'pipe'],
    })
    const closed = new Promise<number | null>((resolve) => child.on('close', resolve))
    child.stdin.write('{"time":"2026-01-01T00:00:00Z","value":1}\n')
    await eventually(async () => {
      const { status, body } = await nomaly.request('GET', '/v1/datasets/live')
      return status === 200 && body.latestAt !== null
    })
    child.kill('SIGINT')
    expect(await closed).toBe(130)
    await nomaly.request('DELETE', '/v1/datasets/live')
  })

  it('finds the spike with a job that runs once, and follows it to its end', async () => {
    const watched = await cli('jobs', 'create', 'servers', '--name', 'look once', '--watch')
    expect(watched.code).toBe(0)
    expect(watched.err).toMatch(/The job is completed: \d+ anomal/)
    const anomalies = (await json('anomalies', 'list', '--dataset', 'servers')) as {
      id: string
      observed: number
    }[]
    const spike = anomalies.find(({ observed }) => observed === 900)
    expect(spike).toMatchObject({
      startedAt: '2026-01-02T17:40:00.000Z',
      state: 'open',
    })
    const shown = await cli('anomalies', 'show', spike!.id)
    expect(shown.out).toMatch(/^What +The value/)
    expect(await json('anomalies', 'acknowledge', spike!.id, '--note', 'a test')).toMatchObject({
      state: 'acknowledged',
      note: 'a test',
    })
    expect((await json('anomalies', 'list', '--state', 'acknowledged')) as unknown[]).toHaveLength(1)
    for (const [verb, state] of [
      ['dismiss', 'dismissed'],
      ['reopen', 'open'],
      ['resolve', 'resolved'],
    ] as const) {
      expect(await json('anomalies', verb, spike!.id)).toMatchObject({ state })
    }
  })

  it('makes one streaming job for --detect, however often it is asked', async () => {
    const { jobId } = await json('ingest', path('load.csv'), '--dataset', 'servers', '--detect')
    expect(await json('ingest', path('load.csv'), '--dataset', 'servers', '--detect')).toMatchObject({
      jobId,
    })
    expect(await json('jobs', 'show', jobId)).toMatchObject({
      schedule: { kind: 'streaming' },
      datasetName: 'servers',
    })
    expect(await json('jobs', 'pause', jobId)).toMatchObject({ status: 'paused' })
    expect((await json('jobs', 'resume', jobId)).status).not.toBe('paused')
    expect(await json('jobs', 'cancel', jobId)).toMatchObject({ status: 'cancelled' })
    expect(await cli('jobs', 'delete', jobId, '--yes')).toMatchObject({ code: 0 })
    expect((await json('jobs', 'list')) as unknown[]).toHaveLength(1)
  })

  it('keeps detectors, keys and the webhook', async () => {
    const detector = await json('detectors', 'create', 'calm', '--budget', '1 per month', '-p', 'window=100')
    expect(detector).toMatchObject({
      name: 'calm',
      budget: { alarms: 1, perSeconds: 2_592_000 },
      parameters: { window: 100 },
    })
    expect(await cli('detectors', 'delete', detector.id, '--yes')).toMatchObject({ code: 0 })
    const key = await json('keys', 'create', 'screen', '--role', 'viewer')
    const denied = await runCli(['datasets', 'create', 'x'], {
      env: { NOMALY_URL: nomaly.url, NOMALY_API_KEY: key.key },
    })
    expect(denied).toMatchObject({ code: 1, out: '', err: expect.stringMatching(/^Error: .*\nHint: /) })
    expect((await json('keys', 'list')) as unknown[]).toHaveLength(2)
    expect(await cli('keys', 'revoke', key.id, '--yes')).toMatchObject({ code: 0 })
    expect(await json('webhook', 'show')).toBeNull()
    expect(await json('webhook', 'set', 'http://127.0.0.1:12345/hook')).toMatchObject({
      secret: expect.any(String),
    })
    expect((await cli('webhook', 'show')).out).toBe('http://127.0.0.1:12345/hook\n')
    expect(await cli('webhook', 'remove', '--yes')).toMatchObject({ code: 0 })
  })

  it('says what is wrong in the words of the server', async () => {
    expect(await cli('jobs', 'create', 'nosuch')).toMatchObject({
      code: 1,
      err: expect.stringContaining('"nosuch"'),
    })
    expect(await cli('datasets', 'delete', 'servers', '--yes')).toMatchObject({
      code: 0,
      out: 'Deleted dataset "servers".\n',
    })
    expect(await cli('datasets', 'list')).toMatchObject({
      code: 0,
      out: expect.stringContaining('There are no datasets'),
    })
  })
})
