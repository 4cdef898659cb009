import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCli } from './run-cli.ts'

interface Report {
  file: string
  format: string
  points: number
  columns: { values: { name: string }[] } | null
  findings: number
  rejectedTotal: number
  series: {
    metric: string
    tags: Record<string, string>
    points: number
    from: string
    detector: { algorithm: string; reason: string } | null
    findings: {
      startedAt: string
      startedRow?: number
      severity: string
      observed: number
      explanation: string
    }[]
  }[]
}

const SPIKE_AT = 1500
// A small generator with a fixed start: the noise of a quiet level.
const noise = (() => {
  let state = 12_345
  return () => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648
})()
const rows = Array.from({ length: 2000 }, (_, at) => ({
  time: new Date(Date.UTC(2026, 0, 1) + at * 60_000).toISOString(),
  value: at === SPIKE_AT ? 500 : Number((100 + 4 * noise() + 4 * noise() - 4).toFixed(3)),
}))
const spikeTime = rows[SPIKE_AT]!.time
const csv = ['time,host,load', ...rows.map(({ time, value }) => `${time},a,${value}`)].join('\n')

let folder: string
const path = (name: string): string => join(folder, name)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nomaly-detect-'))
  await writeFile(path('spike.csv'), csv)
  await writeFile(path('spike.csv.gz'), gzipSync(csv))
  await writeFile(path('flat.csv'), ['time,v', ...rows.map(({ time }) => `${time},7`)].join('\n'))
  await writeFile(path('rows.csv'), ['load', ...rows.map(({ value }) => String(value))].join('\n'))
  await writeFile(
    path('spike.ndjson'),
    rows.map((row) => JSON.stringify({ ...row, metric: 'load' })).join('\n'),
  )
  await writeFile(path('spike.json'), JSON.stringify({ points: rows }))
})

afterAll(async () => {
  await rm(folder, { recursive: true })
})

describe('nomaly detect', () => {
  it('finds the spike and shows header, plot, finding and summary', async () => {
    const { code, out, err } = await runCli(['detect', path('spike.csv')])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(/^load host=a {2}2,000 points · 2026-01-01 00:00 to 2026-01-02 09:19 · every/)
    expect(out).toMatch(/[\u2801-\u28ff]{10}/)
    expect(out).toContain('▲')
    expect(out).toMatch(/2026-01-02 01:00 .*critical +500 /)
    expect(out).toMatch(/findings? · 2,000 points of .*spike\.csv · budget: 1 per week and series\n$/)
  })

  it('prints the same as JSON, for every format and compressed', async () => {
    for (const [name, format] of [
      ['spike.csv', 'csv'],
      ['spike.csv.gz', 'csv'],
      ['spike.ndjson', 'ndjson'],
      ['spike.json', 'json'],
    ] as const) {
      const { code, out } = await runCli(['detect', path(name), '-o', 'json'])
      const report = JSON.parse(out) as Report
      expect({ code, name, format: report.format, points: report.points }).toEqual({
        code: 0,
        name,
        format,
        points: 2000,
      })
      const [series] = report.series
      expect(series!.detector?.reason).toBeTruthy()
      expect(series!.findings.map(({ startedAt }) => startedAt)).toContain(spikeTime)
      expect(report.findings).toBe(series!.findings.length)
    }
  })

  it('prints a line of JSON a finding', async () => {
    const { out } = await runCli(['detect', '-', '-o', 'ndjson'], { input: csv })
    const findings = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(findings.find(({ startedAt }) => startedAt === spikeTime)).toMatchObject({
      metric: 'load',
      tags: { host: 'a' },
      severity: 'critical',
      observed: 500,
      direction: 'above',
    })
  })

  it('exits with 3 on findings only when asked, and stays silent about a flat series', async () => {
    expect((await runCli(['detect', path('spike.csv'), '--fail-on-findings'])).code).toBe(3)
    const flat = await runCli(['detect', path('flat.csv'), '--fail-on-findings'])
    expect(flat.code).toBe(0)
    expect(flat.out).toContain('Nothing unusual')
  })

  it('takes rows for steps where there are no times, and says so', async () => {
    const { code, out, err } = await runCli(['detect', path('rows.csv')])
    expect(code).toBe(0)
    expect(err).toContain('No time column')
    expect(out).toMatch(/^rows? 1501.* critical +500 /m)
    const report = JSON.parse((await runCli(['detect', path('rows.csv'), '-o', 'json'])).out) as Report
    expect(report.series[0]!.findings.map(({ startedRow }) => startedRow)).toContain(1501)
  })

  it('obeys columns, metric and algorithm', async () => {
    const table = ['t,a,b,c', ...rows.slice(0, 100).map(({ time, value }) => `${time},${value},1,2`)].join(
      '\n',
    )
    const metrics = async (...args: string[]): Promise<string> => {
      const { out } = await runCli(['detect', '-', '-o', 'json', ...args], { input: table })
      return (JSON.parse(out) as Report).series.map(({ metric }) => metric).join()
    }
    expect(await metrics()).toBe('a,b,c')
    expect(await metrics('--value-column', 'b', '--value-column', '4')).toBe('b,c')
    expect(await metrics('--metric', 'c')).toBe('c')
    const ewma = await runCli(['detect', path('spike.csv'), '-a', 'ewma', '-o', 'json'])
    expect((JSON.parse(ewma.out) as Report).series[0]!.detector?.algorithm).toBe('ewma')
  })

  it('says which lines it could not read, and goes on', async () => {
    const { code, out, err } = await runCli(['detect', '-'], { input: `${csv}\nnever,a,1\n` })
    expect(code).toBe(0)
    expect(err).toContain('line 2002: time: "never" is not a time')
    expect(out).toContain('2,000 points')
  })

  it.each([
    [['detect', '/nonexistent.csv'], 1, 'there is no such file'],
    [['detect', '/'], 1, 'it is a folder'],
    [['detect', '-'], 1, 'No points were found in standard input'],
    [['detect'], 2, "Missing required argument 'file'"],
    [['detect', '-', '--budget', 'never'], 1, 'Write it as "1 per week"'],
    [['detect', '-', '--algorithm', 'magic'], 2, 'Allowed choices are'],
    [['detect', '-', '--output', 'xml'], 2, 'Allowed choices are'],
    [['detcet', '-'], 2, 'Did you mean detect?'],
  ])('answers %j with code %i and a sentence', async (args, code, text) => {
    const result = await runCli(args)
    expect({ code: result.code, out: result.out }).toEqual({ code, out: '' })
    expect(result.err).toContain(text)
    expect(result.err).not.toMatch(/\n\s+at /)
  })

  it('colours only when asked to, as there is no terminal', async () => {
    const escape = String.fromCharCode(27)
    expect((await runCli(['detect', path('spike.csv')])).out).not.toContain(escape)
    expect((await runCli(['detect', path('spike.csv')], { env: { FORCE_COLOR: '1' } })).out).toContain(escape)
    const both = await runCli(['detect', path('spike.csv')], { env: { FORCE_COLOR: '1', NO_COLOR: '1' } })
    const plain = await runCli(['detect', path('spike.csv')], { env: { NO_COLOR: '1' } })
    expect(plain.out).not.toContain(escape)
    expect(both.code).toBe(0)
  })

  it('ends quietly when nobody reads on', async () => {
    const main = new URL('../../src/cli/main.ts', import.meta.url).pathname
    const child = spawn(process.execPath, [main, 'detect', path('spike.csv'), '-o', 'json'], {
      stdio: 'pipe',
    })
    child.stdout.destroy()
    let err = ''
    child.stderr.on('data', (data: Buffer) => (err += data.toString()))
    const code = await new Promise((resolve) => child.on('close', resolve))
    expect({ code, err }).toEqual({ code: 0, err: '' })
  })
})
