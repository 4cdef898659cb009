import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { BenchContext, Benchmark } from './benchmark.ts'
import { atMost, type Check, median, reported } from './checks.ts'
import { type Instance, startInstance, usersEnvironment } from './instance.ts'
import { memoryByProgram } from './process-tree.ts'
import { findChromium, openBrowser } from './startup/browser.ts'
import { measureDroppedCsv } from './startup/dropped-csv.ts'

const ROOT = join(import.meta.dirname, '..')
/** So many that others' work on a shared machine does not decide. */
const RUNS = 5
const IDLE_MS = 30_000
const MIB = 1024 * 1024

/** From `npm start` to ready and to the first finding, and what it takes of memory while it idles. */
export const startup: Benchmark = {
  summary: 'npm start in a fresh data folder and again, memory while idle, a dropped CSV until its findings',
  async run(context) {
    const runs = context.quick ? 1 : RUNS
    const first: number[] = []
    const again: number[] = []
    const empty: number[] = []
    const memory: Check[] = []
    const page: Check[] = []
    let postgresql = ''
    for (let run = 1; run <= runs; run++) {
      const dataDirectory = join(context.directory, `data-${run}`)
      const start = (): Promise<Instance> => startInstance({ dataDirectory, signal: context.signal })
      {
        await using instance = await start()
        first.push(instance.readyMs)
        postgresql = instance.postgresVersion
        context.log(`start ${run} in a fresh folder: ${seconds(instance.readyMs)} s`)
        if (run === 1 && !context.quick) memory.push(...(await measureIdleMemory(instance, context)))
      }
      await using instance = await start()
      again.push(instance.readyMs)
      context.log(`start ${run} in the same folder again: ${seconds(instance.readyMs)} s`)
      empty.push(await measureEmptyStart(context))
      if (run === runs) page.push(...(await measurePage(instance, context)))
    }
    const checks = [
      atMost('npm start until ready, first time', seconds(median(first)), 's', 8),
      atMost('npm start until ready, after', seconds(median(again)), 's', 3),
      reported('npm start of an empty script, the limit', seconds(median(empty)), 's'),
      reported(
        'npm start after, to that of an empty script',
        median(again.map((ms, run) => ms / empty[run]!)),
        'ratio',
      ),
      ...memory,
      ...page,
    ]
    return { checks, versions: { postgresql } }
  },
}

/** What npm, a shell and Node take for themselves. */
async function measureEmptyStart({ directory }: BenchContext): Promise<number> {
  await writeFile(join(directory, 'package.json'), JSON.stringify({ scripts: { start: 'node -e 0' } }))
  const started = performance.now()
  await promisify(execFile)('npm', ['start'], { cwd: directory, env: usersEnvironment() })
  return performance.now() - started
}

async function measureIdleMemory(instance: Instance, context: BenchContext): Promise<Check[]> {
  if (process.platform !== 'linux') {
    context.log(
      'The memory of all processes is left out: proportional sizes are read from /proc, on Linux only.',
    )
    return []
  }
  context.log(`idling for ${IDLE_MS / 1000} s …`)
  await sleep(IDLE_MS, undefined, { signal: context.signal })
  const totals: number[] = []
  const shares = new Map<string, number[]>()
  for (let look = 0; look < 5; look++) {
    const bytes = await memoryByProgram(await instance.processes())
    totals.push([...bytes.values()].reduce((sum, each) => sum + each, 0) / MIB)
    for (const [program, each] of bytes) shares.set(program, [...(shares.get(program) ?? []), each / MIB])
    await sleep(1_000, undefined, { signal: context.signal })
  }
  return [
    atMost('memory of all processes, idle (PSS)', median(totals), 'MB', 400),
    ...[...shares].map(([program, each]) => reported(`of it ${program}`, median(each), 'MB')),
  ]
}

async function measurePage(instance: Instance, context: BenchContext): Promise<Check[]> {
  const chromium = findChromium()
  if (chromium === undefined) {
    context.log('The time until findings are on the page is left out: there is no Chromium on this machine.')
    return []
  }
  if (!existsSync(join(ROOT, 'dist/dashboard/index.html'))) {
    context.log('building the dashboard …')
    await promisify(execFile)('npm', ['run', 'build', '--workspace', 'dashboard'], { cwd: ROOT })
  }
  const browser = await openBrowser(chromium, join(context.directory, 'browser'))
  try {
    const page = await browser.newPage()
    await page.goto(instance.signInLink)
    await page.getByTestId('drop-zone').first().waitFor()
    await page.close()
    const times: number[] = []
    for (let run = 1; run <= (context.quick ? 1 : RUNS); run++) {
      const { url, adminKey } = instance
      const ms = await measureDroppedCsv({
        browser,
        url,
        adminKey,
        directory: context.directory,
        name: `orders-${run}`,
      })
      context.log(`CSV ${run} until its first finding is on the page: ${seconds(ms)} s`)
      times.push(ms)
    }
    return [atMost('dropped CSV until findings on the page', seconds(median(times)), 's', 10)]
  } finally {
    await browser.close()
  }
}

function seconds(ms: number): number {
  return Number((ms / 1000).toFixed(3))
}
