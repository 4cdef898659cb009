import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parquetReadObjects } from 'hyparquet'
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest'
import { startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { runCli, type CliResult } from './run-cli.ts'

let nomaly: TestNomaly
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nomaly-export-'))
  nomaly = await startTestNomaly({ worker: false })
  await nomaly.request('POST', '/v1/datasets', { body: { name: 'servers' } })
  await nomaly.request('POST', '/v1/datasets/servers/points', {
    body: ['web-1', 'web-2'].flatMap((host) =>
      [0, 1, 2].map((value) => ({
        time: `2026-01-0${value + 1}T00:00:00Z`,
        metric: host === 'web-1' ? 'cpu' : 'load',
        tags: { host },
        value,
      })),
    ),
  })
})

afterAll(async () => {
  await nomaly[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

afterEach(() => {
  vi.restoreAllMocks()
})

function cli(args: readonly string[], input?: string): Promise<CliResult> {
  return runCli(args, {
    env: { NOMALY_URL: nomaly.url, NOMALY_API_KEY: nomaly.tenant.key },
    ...(input === undefined ? {} : { input }),
  })
}

it('writes to standard output what ingest takes again', async () => {
  const written = await cli(['export', 'servers'])
  expect(written).toMatchObject({ code: 0, err: '' })
  expect(written.out.split('\n').slice(0, 2)).toEqual([
    'time,metric,value,tags.host',
    '2026-01-01T00:00:00Z,cpu,0,web-1',
  ])
  const loaded = await cli(['ingest', '-', '-d', 'copy', '-o', 'json'], written.out)
  expect(JSON.parse(loaded.out)).toMatchObject({ inserted: 6, rejectedTotal: 0 })
  const again = await cli(['export', 'copy', '--format', 'ndjson', '--output', '-'])
  expect(again.out).toBe((await cli(['export', 'servers', '-f', 'ndjson'])).out)
})

it('writes a part of it to a file, and says how much', async () => {
  const path = join(folder, 'part.parquet')
  const written = await cli([
    'export',
    'servers',
    '--format=parquet',
    `--output=${path}`,
    '--metric=load',
    '--from=2026-01-02',
    '--to=2026-01-03',
  ])
  expect(written).toMatchObject({
    code: 0,
    out: '',
    err: expect.stringMatching(/^Wrote .*part\.parquet \(.* MB\)\.\n$/),
  })
  const bytes = await readFile(path)
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)
  expect(await parquetReadObjects({ file })).toEqual([
    { time: new Date('2026-01-02T00:00:00Z'), metric: 'load', tags: { host: 'web-2' }, value: 1 },
  ])
})

it('leaves no file behind where the connection breaks, and fails', async () => {
  const { metrics } = nomaly.store
  const scan = metrics.scan.bind(metrics)
  vi.spyOn(metrics, 'scan').mockImplementation(async function* (...args) {
    for await (const run of scan(...args)) {
      yield { ...run, timesMs: new Float64Array(60_000), values: new Float64Array(60_000) }
      vi.mocked(metrics.scan).mockImplementation(() => {
        throw new Error('the database went away')
      })
    }
  })
  const broken = await cli(['export', 'servers', '-o', join(folder, 'broken.csv')])
  expect(broken).toMatchObject({ code: 1, out: '' })
  expect(broken.err).toMatch(/^Error: .*(broke off|cannot be reached)/)
  expect((await readdir(folder)).filter((name) => name.startsWith('broken'))).toEqual([])
})

it('says what is wrong in the words of the server', async () => {
  expect(await cli(['export', 'nosuch'])).toMatchObject({ code: 1, err: expect.stringContaining('"nosuch"') })
  expect(await cli(['export', 'servers', '-f', 'xls'])).toMatchObject({ code: 2 })
})
