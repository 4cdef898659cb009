import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Page } from 'playwright-core'
import { beforeAll, expect, test } from 'vitest'
import { CHROMIUM, startBrowser } from '../support/browser.ts'
import { createMigratedDatabase, testConfig } from '../support/nomaly.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const START = Date.UTC(2026, 9, 1)
const MINUTES = 4_000
const SPIKE_AT = 3_600

if (CHROMIUM === undefined)
  console.warn('skipped: this machine has no chromium (Debian: apt-get install chromium)')

beforeAll(async () => {
  if (!existsSync(join(ROOT, 'dist', 'dashboard', 'index.html')))
    await promisify(execFile)('npm', ['run', 'build:dashboard'], { cwd: ROOT })
}, 120_000)

test.skipIf(CHROMIUM === undefined)(
  'the printed link, a CSV dropped, its finding seen, a live one appears, and is acknowledged',
  async () => {
    await using nomaly = await startNomaly()
    await using browser = await startBrowser()
    const page = await browser.context.newPage()
    const complaints: string[] = []
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))

    await page.goto(nomaly.link)
    await page.getByTestId('drop-zone').first().waitFor()
    expect(new URL(page.url()).pathname).toBe('/')

    await page.getByTestId('file-input').setInputFiles(nomaly.csv)
    await openDataset(page)
    const first = page.getByTestId('finding-row').first()
    await first.waitFor({ timeout: 15_000 })
    await first.click()
    expect(await page.getByTestId('finding-explanation').first().textContent()).toMatch(/900/)
    await page.getByTestId('series-chart').first().waitFor()
    await screenshot(page, 'finding')

    const before = await page.getByTestId('finding-row').count()
    await nomaly.send([MINUTES + 60, MINUTES + 61].map((minute) => ({ minute, value: 1_500 })))
    await expect
      .poll(() => page.getByTestId('finding-row').count(), { timeout: 15_000 })
      .toBeGreaterThan(before)

    await page.getByTestId('finding-row').first().click()
    await page.getByTestId('acknowledge').first().click()
    await expect
      .poll(async () => (await nomaly.anomalies()).filter(({ state }) => state === 'acknowledged').length, {
        timeout: 20_000,
      })
      .toBe(1)
    await screenshot(page, 'acknowledged')
    expect(complaints).toEqual([])
  },
  90_000,
)

/** Goes through whatever the import shows until the dataset's page is there. */
async function openDataset(page: Page): Promise<void> {
  await page.waitForURL(/\/datasets\//, { timeout: 20_000 })
}

async function screenshot(page: Page, name: string): Promise<void> {
  const directory = process.env['NOMALY_SCREENSHOTS']
  if (directory !== undefined) await page.screenshot({ path: join(directory, `${name}.png`) })
}

interface RunningNomaly extends AsyncDisposable {
  readonly link: string
  readonly csv: string
  send(points: readonly { minute: number; value: number }[]): Promise<void>
  anomalies(): Promise<{ readonly state: string }[]>
}

/** The product as a user starts it, in a process of its own; on the server of the tests where they have been given one. */
async function startNomaly(): Promise<RunningNomaly> {
  const directory = await mkdtemp(join(tmpdir(), 'nomaly-dashboard-'))
  await chmod(directory, 0o755)
  const csv = join(directory, 'orders.csv')
  await writeFile(csv, `time,orders\n${rows().join('\n')}\n`)
  await using stack = new AsyncDisposableStack()
  const given = process.env['TEST_DATABASE_URL'] === undefined ? undefined : await createMigratedDatabase()
  if (given !== undefined) stack.use(given.database)
  const env = {
    ...process.env,
    ...(given === undefined
      ? {}
      : { DATABASE_URL: given.databaseUrl, ADMIN_DATABASE_URL: given.database.adminUrl }),
    NOMALY_METRICS_ENGINE: testConfig().metricsEngine,
    NOMALY_DATA_DIR: join(directory, 'data'),
    NOMALY_PORT: '0',
    NOMALY_EMBEDDED_DATABASE_PORT: '18521',
  }
  const server = spawn(process.execPath, ['src/cli/main.ts', 'start'], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise((resolve) => server.on('exit', resolve))
  let output = ''
  for await (const chunk of server.stdout) {
    output += String(chunk)
    if (output.includes('Ctrl+C')) break
  }
  const link = /http:\/\/\S+\/sign-in\?token=[\w-]+/.exec(output)![0]
  const cli = (...args: string[]): Promise<{ stdout: string }> =>
    promisify(execFile)(process.execPath, ['src/cli/main.ts', ...args], { cwd: ROOT, env })
  const resources = stack.move()
  return {
    link,
    csv,
    send: async (points) => {
      const file = join(directory, 'more.csv')
      await writeFile(
        file,
        `time,orders\n${points.map(({ minute, value }) => `${timeOf(minute)},${value}`).join('\n')}\n`,
      )
      await cli('ingest', file, '--dataset', 'orders')
    },
    anomalies: async () => JSON.parse((await cli('anomalies', 'list', '--output', 'json')).stdout),
    async [Symbol.asyncDispose]() {
      server.kill('SIGTERM')
      await ended
      await resources.disposeAsync()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** Seeded noise around a level (Park and Miller's generator), with one spike. */
function rows(): string[] {
  let state = 1
  return Array.from({ length: MINUTES }, (_, minute) => {
    state = (state * 16_807) % 2_147_483_647
    return `${timeOf(minute)},${minute === SPIKE_AT ? 900 : 100 + (state % 23)}`
  })
}

function timeOf(minute: number): string {
  return new Date(START + minute * 60_000).toISOString()
}
