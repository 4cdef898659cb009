import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pointParts } from '../../src/cli/point-parts.ts'
import { parsePoints } from '../../src/ingestion/parse-points.ts'
import { eventually, startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { runCli, type CliResult } from './run-cli.ts'

let nomaly: TestNomaly
let folder: string
const file = (name: string): string => join(folder, name)
const environment = () => ({ NOMALY_URL: nomaly.url, NOMALY_API_KEY: nomaly.tenant.key })
const cli = (args: string[], input?: string): Promise<CliResult> =>
  runCli(args, { env: environment(), ...(input === undefined ? {} : { input }) })

const START = Date.UTC(2025, 0, 1)
const MINUTE_MS = 60_000
/** A minute each, of two hosts in turn. */
const line = (at: number, value: number = at % 100): string =>
  `{"time":${START + Math.floor(at / 2) * MINUTE_MS},"metric":"cpu","tags":{"host":"h${at % 2}"},"value":${value}}\n`
const lines = (count: number): string => Array.from({ length: count }, (_, at) => line(at)).join('')

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nomaly-backfill-'))
  nomaly = await startTestNomaly()
})

afterAll(async () => {
  await nomaly[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

describe('nomaly backfill', () => {
  it('goes on where it was interrupted, with the same file only', { timeout: 120_000 }, async () => {
    const whole = lines(250_000)
    const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
    const child = spawn(process.execPath, [main, 'backfill', 'servers', '-', '-f', 'ndjson'], {
      env: environment(),
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    let err = ''
    child.stderr.on('data', (text) => (err += text))
    const closed = new Promise<number | null>((resolve) => child.on('close', resolve))
    child.stdin.write(lines(150_000))
    const backfill = await eventually(async () => {
      const { body } = await nomaly.request('GET', '/v1/datasets/servers/backfills')
      return body.items?.find(({ parts }: { parts: { done: number } }) => parts.done > 0)
    }, 60_000)
    child.kill('SIGINT')
    expect(await closed).toBe(130)
    expect(err).toContain(`nomaly backfill servers - --format ndjson --resume ${backfill.id}`)

    const changed = await cli(['backfill', 'servers', '-', '--resume', backfill.id], line(0, 7) + whole)
    expect(changed).toMatchObject({ code: 1, out: '' })
    expect(changed.err).toContain('part 1 differs')
    const shorter = await cli(['backfill', 'servers', '-', '--resume', backfill.id], line(0))
    expect(shorter).toMatchObject({ code: 1, out: '' })

    const resumed = await cli(['backfill', 'servers', '-', '--resume', backfill.id, '-o', 'json'], whole)
    expect(resumed).toMatchObject({ code: 0, err: '' })
    expect(JSON.parse(resumed.out)).toMatchObject({
      id: backfill.id,
      created: false,
      status: 'completed',
      parts: { done: 3, total: 3 },
      inserted: 250_000,
      duplicates: 0,
      rejectedTotal: 0,
    })
    const { body } = await nomaly.request('GET', '/v1/datasets/servers')
    expect(body).toMatchObject({
      seriesCount: 2,
      latestAt: new Date(START + 124_999 * MINUTE_MS).toISOString(),
    })
    // It is over, and says so again.
    const again = await cli(['backfill', 'servers', '-', '--resume', backfill.id], '')
    expect(again).toMatchObject({ code: 0, err: '' })
    expect(again.out).toMatch(/inserted +250,000/)
  })

  it('says what became of the lines of a file, by their number there', async () => {
    const rows = Array.from(
      { length: 100 },
      (_, at) => `${new Date(START + at * MINUTE_MS).toISOString()},a,${at}`,
    )
    const odd = ['time,host,load', ...rows, 'never,a,1', rows[7], `${rows[8]}9`].join('\n')
    await writeFile(file('odd.csv.gz'), gzipSync(odd))
    const first = await cli(['backfill', 'odd', file('odd.csv.gz')])
    expect(first.code).toBe(0)
    expect(first.err).toContain('line 102:')
    expect(first.out).toMatch(/inserted +100\b/)
    expect(first.out).toMatch(/duplicates +1\b/)
    expect(first.out).toMatch(/conflicting +1\b/)
    expect(first.out).toMatch(/refused +1\b/)
    const again = await cli(['backfill', 'odd', file('odd.csv.gz'), '-o', 'json'])
    expect(JSON.parse(again.out)).toMatchObject({
      inserted: 0,
      duplicates: 101,
      conflicting: 1,
      rejectedTotal: 1,
      rejected: [{ line: 102 }],
    })
    const empty = await cli(['backfill', 'odd', '-', '-f', 'ndjson', '-o', 'json'], '')
    expect(JSON.parse(empty.out)).toMatchObject({ status: 'completed', parts: { total: 0 }, inserted: 0 })
  })

  it('makes nothing where there is no file, and knows no backfill of another dataset', async () => {
    const missing = await cli(['backfill', 'nowhere', file('missing.csv')])
    expect(missing).toMatchObject({ code: 1, out: '' })
    expect((await nomaly.request('GET', '/v1/datasets/nowhere')).status).toBe(404)
    const { body } = await nomaly.request('GET', '/v1/datasets/odd/backfills?limit=1')
    const foreign = await cli(['backfill', 'servers', file('odd.csv.gz'), '--resume', body.items[0].id])
    expect(foreign.code).toBe(1)
    expect(foreign.err).toContain('There is no backfill')
  })
})

describe('parts of a file', () => {
  it('are cut in the same places however the file is read', async () => {
    const text = Buffer.from(lines(500))
    const cut = async (sizes: readonly number[]) => {
      async function* bytes(): AsyncGenerator<Uint8Array> {
        let at = 0
        for (let i = 0; at < text.length; i++) {
          const end = at + (sizes[i % sizes.length] ?? 0)
          yield text.subarray(at, end)
          at = end
        }
      }
      return Array.fromAsync(pointParts(parsePoints('ndjson', bytes()), () => {}, 120))
    }
    const wanted = await cut([text.length])
    expect(wanted.map((part) => part.lines.length)).toEqual([120, 120, 120, 120, 20])
    expect(wanted.flatMap((part) => part.lines)).toEqual(Array.from({ length: 500 }, (_, at) => at + 1))
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 9_000 }), { minLength: 1, maxLength: 20 }),
        async (sizes) => {
          expect(await cut(sizes)).toEqual(wanted)
        },
      ),
      { numRuns: 20 },
    )
  })
})
