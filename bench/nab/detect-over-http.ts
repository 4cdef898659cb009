import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { HttpClient } from '../http-client.ts'
import type { RaisedAlarm } from './nab-files.ts'
import type { NabSeries } from './read-nab.ts'

/** A false-alarm budget per series, as jobs take it. */
export interface Budget {
  readonly alarms: number
  readonly perSeconds: number
}

/** What the product made of one file. */
export interface NabDetection {
  readonly series: NabSeries
  readonly alarms: readonly RaisedAlarm[]
}

interface PointsAnswer {
  readonly inserted: number
  readonly duplicates: number
  readonly conflicting: number
  readonly rejectedTotal: number
}

interface JobAnswer {
  readonly id: string
  readonly status: string
  readonly lastRun: { readonly seriesTotal: number } | null
}

interface AnomalyPage {
  readonly items: readonly { readonly detectedAt: string; readonly detectedScore: number }[]
  readonly nextCursor: string | null
}

/** Sends a file as it is, CSV, into a dataset of its own, and answers the dataset's name. */
export async function loadSeries(client: HttpClient, folder: string, series: NabSeries): Promise<string> {
  const dataset = series.name.replace(/\.csv$/, '').replaceAll(/[^A-Za-z0-9._-]/g, '.')
  await client.json('POST', '/v1/datasets', { name: dataset })
  const bytes = await readFile(join(folder, 'data', series.name))
  const answer = await client.send<PointsAnswer>('POST', `/v1/datasets/${dataset}/points`, bytes, 'text/csv')
  // Some files hold an instant twice, from clocks put back.
  const instants = new Set(series.timesMs).size
  if (answer.inserted !== instants || answer.rejectedTotal !== 0)
    throw new Error(
      `${series.name}: ${instants} instants were sent, and the answer was ${JSON.stringify(answer)}.`,
    )
  return dataset
}

/** Asks for one look at a dataset, and answers the job's id. Without a budget the product's default holds. */
export async function requestDetection(
  client: HttpClient,
  dataset: string,
  budget?: Budget,
): Promise<string> {
  const { id } = await client.json<JobAnswer>('POST', '/v1/jobs', {
    dataset,
    detector: budget === undefined ? {} : { budget },
    schedule: { kind: 'once' },
  })
  return id
}

/** Waits until the worker has done a job on one series, and reads its findings back. */
export async function readAlarms(
  client: HttpClient,
  jobId: string,
  signal: AbortSignal,
): Promise<RaisedAlarm[]> {
  for (;;) {
    const { status, lastRun } = await client.json<JobAnswer>('GET', `/v1/jobs/${jobId}`)
    if (status === 'completed' && lastRun?.seriesTotal === 1) break
    if (status !== 'pending' && status !== 'running')
      throw new Error(`The job ${jobId} is ${status}: ${JSON.stringify(lastRun)}`)
    await sleep(50, undefined, { signal })
  }
  const alarms: RaisedAlarm[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const query = new URLSearchParams({ jobId, limit: '500', ...(cursor === '' ? {} : { cursor }) })
    const page: AnomalyPage = await client.json<AnomalyPage>('GET', `/v1/anomalies?${query}`)
    for (const { detectedAt, detectedScore } of page.items)
      alarms.push({ detectedMs: Date.parse(detectedAt), detectedScore })
    cursor = page.nextCursor
  }
  return alarms
}
