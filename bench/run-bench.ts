// Measures the product against what is asked of it: npm run bench -- [names…] [--quick] [--huge] [--url URL]
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
  import: async () => (await import('./import.bench.ts')).importing,
  flags: async () => (await import('./flags.bench.ts')).flags,
  events: async () => (await import('./events.bench.ts')).events,
  cache: async () => (await import('./cache.bench.ts')).cache,
  pool: async () => (await import('./pool.bench.ts')).pool,
  replicas: async () => (await import('./replicas.bench.ts')).replicas,
  backup: async () => (await import('./backup.bench.ts')).backup,
  metrics: async () => (await import('./metrics.bench.ts')).metrics,
}
const RESULTS = join(import.meta.dirname, 'results')
const USAGE = `Usage: npm run bench -- <name>… [--quick | --huge] [--url URL]

Names: ${Object.keys(BENCHMARKS).join(', ')}, or all.
A full run writes bench/results/<name>.json; --quick takes a minute or two each, leaves out what needs the full size
and writes <name>.quick.json; --huge adds to metrics what takes 100 million points. --url, or BENCH_DATABASE_URL, names a
PostgreSQL server, as superuser, that metrics are measured on instead of the embedded one: it needs to be one with
TimescaleDB for all there is. The exit code is 1 when a figure falls short of what is asked.`

process.exitCode = await main()

async function main(): Promise<number> {
  let names: string[]
  let options: Pick<BenchContext, 'quick' | 'huge' | 'databaseUrl'>
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        quick: { type: 'boolean', default: false },
        huge: { type: 'boolean', default: false },
        url: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    if (values.help) {
      console.log(USAGE)
      return 0
    }
    const { quick, huge, url = process.env['BENCH_DATABASE_URL'] } = values
    if (quick && huge) throw new Error('A run is quick or huge, not both.')
    options = { quick, huge, databaseUrl: url === '' ? undefined : url }
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
      allOk = (await runOne(name, options, stopping.signal)) && allOk
    } catch (error) {
      if (stopping.signal.aborted) return 130
      console.error(error)
      allOk = false
    }
  }
  return allOk ? 0 : 1
}

async function runOne(
  name: string,
  options: Pick<BenchContext, 'quick' | 'huge' | 'databaseUrl'>,
  signal: AbortSignal,
): Promise<boolean> {
  const benchmark = await BENCHMARKS[name]!()
  log(`${name}: ${benchmark.summary}`)
  const hardware = describeHardware()
  const directory = await mkdtemp(join(tmpdir(), `nomaly-bench-${name}-`))
  // The account that PostgreSQL runs as must pass through when root measures.
  await chmod(directory, 0o711)
  const context: BenchContext = { ...options, directory, signal, log, progress }
  try {
    const result = await benchmark.run(context)
    progress('')
    if (result === undefined) return true
    const { checks } = result
    print(name, checks)
    const versions = { ...describeVersions(), ...result.versions }
    const path = join(RESULTS, `${name}${options.quick ? '.quick' : ''}`)
    await mkdir(RESULTS, { recursive: true })
    if (result.plot !== undefined) await writeFile(`${path}.svg`, result.plot)
    const file = `${path}.json`
    await writeFile(file, `${JSON.stringify({ hardware, versions, checks }, null, 2)}\n`)
    log(`written to ${file}`)
    return checks.every(({ ok }) => ok)
  } finally {
    progress('')
    await rm(directory, { recursive: true, force: true, maxRetries: 5 })
  }
}

function print(name: string, checks: readonly Check[]): void {
  const hasAims = checks.some(({ aim }) => aim !== undefined)
  const table = new Table({
    head: [name, 'measured', 'asked', ...(hasAims ? ['aim'] : []), ''],
    colAligns: ['left', 'right', 'right', ...(hasAims ? (['right'] as const) : []), 'left'],
    style: { head: [], border: [], compact: true },
  })
  for (const { name: what, value, unit, bound, aim, ok } of checks) {
    const asked = bound === null ? '' : 'atMost' in bound ? `≤ ${bound.atMost}` : `≥ ${bound.atLeast}`
    table.push([
      what,
      `${value.toLocaleString('en')} ${unit}`,
      asked,
      ...(hasAims ? [aim ?? ''] : []),
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
