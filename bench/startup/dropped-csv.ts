import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BrowserContext } from 'playwright-core'
import { HttpClient } from '../http-client.ts'

const ROWS = 10_000
const START_MS = Date.UTC(2026, 0, 5)
const STEP_MS = 60_000
/** Half an hour in which orders fall to a fifth and answers take five times as long. */
const INCIDENT = { first: 9_000, last: 9_029 }

export interface DroppedCsvOptions {
  readonly browser: BrowserContext
  readonly url: string
  readonly adminKey: string
  readonly directory: string
  /** Of the file, and of the dataset that is made of it. */
  readonly name: string
}

/**
 * Gives the open dashboard a CSV of 10,000 rows and two metrics, and waits for the first finding on the page.
 * Answers the time from the file to the finding in ms; throws when the incident in the file is not among the findings.
 */
export async function measureDroppedCsv(options: DroppedCsvOptions): Promise<number> {
  const { browser, url, name } = options
  const file = join(options.directory, `${name}.csv`)
  await writeFile(file, incidentCsv())
  const page = await browser.newPage()
  try {
    await page.goto(url)
    const input = page.getByTestId('file-input')
    await page.getByTestId('drop-zone').first().waitFor()
    const started = performance.now()
    await input.setInputFiles(file)
    // Only the page of the new dataset: the overview also lists what the product finds about itself.
    await page.waitForURL(/\/datasets\/[^/]+/, { timeout: 60_000 })
    await page.getByTestId('finding-row').first().waitFor({ timeout: 60_000 })
    const elapsedMs = performance.now() - started
    await requireIncident(new HttpClient(url, options.adminKey), name)
    return elapsedMs
  } finally {
    await page.close()
  }
}

async function requireIncident(client: HttpClient, dataset: string): Promise<void> {
  const { id } = await client.json<{ id: string }>('GET', `/v1/datasets/${dataset}`)
  const [from, to] = [INCIDENT.first, INCIDENT.last].map((row) =>
    new Date(START_MS + row * STEP_MS).toISOString(),
  )
  for (let tries = 0; tries < 100; tries++) {
    const { items } = await client.json<{ items: unknown[] }>(
      'GET',
      `/v1/anomalies?${new URLSearchParams({ datasetId: id, from: from!, to: to! })}`,
    )
    if (items.length > 0) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error('The incident in the file was not found: the time until another finding is worth nothing.')
}

/** Deterministic: a day's rhythm, noise and one incident. */
function incidentCsv(): string {
  const lines = ['time,orders,latency_ms']
  let noise = 1
  for (let row = 0; row < ROWS; row++) {
    noise = (noise * 48_271) % 2_147_483_647
    const jitter = noise / 2_147_483_647 - 0.5
    const day = Math.sin((row * STEP_MS * 2 * Math.PI) / 86_400_000)
    const bad = row >= INCIDENT.first && row <= INCIDENT.last
    const orders = (200 + 80 * day + 20 * jitter) * (bad ? 0.2 : 1)
    const latency = (40 + 8 * day + 6 * jitter) * (bad ? 5 : 1)
    lines.push(
      `${new Date(START_MS + row * STEP_MS).toISOString()},${orders.toFixed(1)},${latency.toFixed(2)}`,
    )
  }
  return `${lines.join('\n')}\n`
}
