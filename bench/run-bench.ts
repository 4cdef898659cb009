// Measures the product against what is asked of it: npm run bench -- [names…] [--quick]
import { mkdir, mkdtemp, rm, writeFile, chmod } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import type { BenchContext, Benchmark } from './benchmark.ts'
import type { Check } from './checks.ts'
import { describeHardware, describeVersions } from './machine.ts'

const BENCHMARKS: Readonly<Record<string, () => Promise<Benchmark>>> = {
  startup: async () => (await import('./startup.bench.ts')).startup,
  nab: async () => (await import('./nab.bench.ts')).nab,
  ingest: async () => (await import('./ingest.bench.ts')).ingest,
}
const RESULTS = join(import.meta.dirname, 'results')
const USAGE = `Usage: npm run bench -- <name>… [--quick]

Names: ${Object.keys(BENCHMARKS).join(', ')}, or all.
A full run writes bench/results/<name>.json; --quick takes under a minute each, leaves out what needs the full size
and writes <name>.quick.json. The exit code is 1 when a figure falls short of what is asked.`

process.exitCode = await main()

async function main(): Promise<number> {
  let names: string[]
  let quick: boolean
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        quick: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    if (values.help) {
      console.log(USAGE)
      return 0
    }
    quick = values.quick
    names = positionals.includes('all') ? Object.keys(BENCHMARKS) : positionals
    const unknown = names.filter((name) => !Object.hasOwn(BENCHMARKS, name))
    if (unknown.length > 0) throw new Error(`There is no benchmark "${unknown.join('", "')}".`)
    if (names.length === 0) throw new Error('Which benchmark?')
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`)
    return 2
  }
  const stopping = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      if (stopping.signal.aborted) process.exit(130)
      log('Stopping …')
      stopping.abort(new Error('The run was stopped.'))
    })
  let allOk = true
  for (const name of names) {
    try {
      allOk = (await runOne(name, quick, stopping.signal)) && allOk
    } catch (error) {
      if (stopping.signal.aborted) return 130
      console.error(error)
      allOk = false
    }
  }
  return allOk ? 0 : 1
}

async function runOne(name: string, quick: boolean, signal: AbortSignal): Promise<boolean> {
  const benchmark = await BENCHMARKS[name]!()
  log(`${name}: ${benchmark.summary}`)
  const hardware = describeHardware()
  const directory = await mkdtemp(join(tmpdir(), `nomaly-bench-${name}-`))
  // The account that PostgreSQL runs as must pass through when root measures.
  await chmod(directory, 0o711)
  const context: BenchContext = { quick, directory, signal, log, progress }
  try {
    const result = await benchmark.run(context)
    progress('')
    if (result === undefined) return true
    const { checks } = result
    print(name, checks)
    const versions = { ...describeVersions(), ...result.versions }
    const file = join(RESULTS, `${name}${quick ? '.quick' : ''}.json`)
    await mkdir(RESULTS, { recursive: true })
    await writeFile(file, `${JSON.stringify({ hardware, versions, checks }, null, 2)}\n`)
    log(`written to ${file}`)
    return checks.every(({ ok }) => ok)
  } finally {
    progress('')
    await rm(directory, { recursive: true, force: true, maxRetries: 5 })
  }
}

function print(name: string, checks: readonly Check[]): void {
  const table = new Table({
    head: [name, 'measured', 'asked', ''],
    colAligns: ['left', 'right', 'right', 'left'],
    style: { head: [], border: [], compact: true },
  })
  for (const { name: what, value, unit, bound, ok } of checks) {
    const asked = bound === null ? '' : 'atMost' in bound ? `≤ ${bound.atMost}` : `≥ ${bound.atLeast}`
    table.push([
      what,
      `${value.toLocaleString('en')} ${unit}`,
      asked,
      bound === null ? '' : ok ? 'ok' : 'FALLS SHORT',
    ])
  }
  console.log(table.toString())
}

function log(message: string): void {
  progress('')
  console.error(message)
}

function progress(message: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001B[K${message}`)
}
