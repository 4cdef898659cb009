import type { QueryClient } from '@tanstack/react-query'
import { answer, api } from '../api/client.ts'
import type { Dataset } from '../api/entities.ts'
import { ApiProblem, problemOf } from '../api/problem.ts'
import { jobsQuery } from '../api/queries.ts'
import { watchDataset } from '../jobs/watch-dataset.ts'
import { type ImportReport, setImportReport, setImportState } from './import-store.ts'
import { readColumnPlan } from './column-plan.ts'
import { lineSlices } from './line-slices.ts'

const SLICE_BYTES = 4 * 1024 * 1024
const MOST_JSON_BYTES = 64 * 1024 * 1024
const REJECTED_SHOWN = 100

interface PointsAnswer {
  inserted: number
  duplicates: number
  conflicting: number
  rejected: { line: number; reason: string }[]
  rejectedTotal: number
  columns?: unknown
}

/** Whether the file goes into a dataset of that name that must be new, or that exists. */
export interface ImportTarget {
  readonly name: string
  readonly existing: boolean
}

/**
 * Brings a file in: makes the dataset, sends the points slice by slice, and has it watched. Answers the dataset, or
 * `undefined` when the user must first say something (see the import's state).
 */
export async function importFile(
  client: QueryClient,
  file: File,
  target: ImportTarget,
): Promise<Dataset | undefined> {
  let report: ImportReport = {
    fileName: file.name,
    inserted: 0,
    duplicates: 0,
    conflicting: 0,
    rejectedTotal: 0,
    rejected: [],
    columns: [],
  }
  const sending = (share: number): void =>
    setImportState({ step: 'sending', fileName: file.name, datasetName: target.name, share, report })
  try {
    sending(0)
    const dataset = await openDataset(target)
    if (dataset === undefined) {
      setImportState({ step: 'asking', file, existing: target.name, suggested: `${target.name}-2` })
      return undefined
    }
    for await (const { answer: part, lineOffset, share } of sendSlices(file, dataset.id)) {
      report = extended(report, part, lineOffset)
      sending(share)
    }
    setImportReport(dataset, report)
    await watchOnce(client, dataset)
    for (const key of ['datasets', 'series', 'points', 'spark', 'band', 'jobs', 'anomalies'])
      void client.invalidateQueries({ queryKey: [key] })
    setImportState({ step: 'idle' })
    return dataset
  } catch (error) {
    setImportState({ step: 'failed', file, error, report: report.inserted > 0 ? report : undefined })
    return undefined
  }
}

/** A dataset's name from a file's: `CPU usage (2).csv` becomes `cpu-usage-2`. */
export function datasetNameOf(fileName: string): string {
  const stem = fileName.replace(/\.gz$/i, '').replace(/\.[a-z0-9]+$/i, '')
  const slug = stem
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
  return slug.slice(0, 60) || 'data'
}

async function openDataset({ name, existing }: ImportTarget): Promise<Dataset | undefined> {
  if (existing) return answer(api.GET('/v1/datasets/{dataset}', { params: { path: { dataset: name } } }))
  try {
    return await answer(api.POST('/v1/datasets', { body: { name } }))
  } catch (error) {
    if (error instanceof ApiProblem && error.status === 409) return undefined
    throw error
  }
}

async function* sendSlices(
  file: File,
  datasetId: string,
): AsyncGenerator<{ answer: PointsAnswer; lineOffset: number; share: number }> {
  const type = contentType(file.name)
  let read = 0
  const counting = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(chunk, controller) {
      read += chunk.length
      controller.enqueue(chunk)
    },
  })
  const counted = file.stream().pipeThrough(counting)
  const plain = /\.gz$/i.test(file.name) ? counted.pipeThrough(new DecompressionStream('gzip')) : counted
  // A JSON document cannot be cut; the server refuses one that is too large.
  const maxBytes = type === 'application/json' ? MOST_JSON_BYTES : SLICE_BYTES
  for await (const { bytes, lineOffset } of lineSlices(plain, { csv: type === 'text/csv', maxBytes })) {
    const response = await fetch(`/v1/datasets/${encodeURIComponent(datasetId)}/points`, {
      method: 'POST',
      headers: { 'Content-Type': type },
      body: bytes,
    })
    if (!response.ok) throw await problemOf(response)
    const body = (await response.json()) as PointsAnswer
    yield { answer: body, lineOffset, share: Math.min(1, read / Math.max(1, file.size)) }
  }
}

function contentType(fileName: string): 'text/csv' | 'application/x-ndjson' | 'application/json' {
  const name = fileName.toLowerCase().replace(/\.gz$/, '')
  if (/\.(ndjson|jsonl)$/.test(name)) return 'application/x-ndjson'
  return name.endsWith('.json') ? 'application/json' : 'text/csv'
}

function extended(report: ImportReport, part: PointsAnswer, lineOffset: number): ImportReport {
  const rejected = part.rejected.map(({ line, reason }) => ({ line: line + lineOffset, reason }))
  return {
    fileName: report.fileName,
    inserted: report.inserted + part.inserted,
    duplicates: report.duplicates + part.duplicates,
    conflicting: report.conflicting + part.conflicting,
    rejectedTotal: report.rejectedTotal + part.rejectedTotal,
    rejected: [...report.rejected, ...rejected].slice(0, REJECTED_SHOWN),
    columns: report.columns.length > 0 ? report.columns : readColumnPlan(part.columns),
  }
}

async function watchOnce(client: QueryClient, dataset: Dataset): Promise<void> {
  const jobs = await client.fetchQuery({ ...jobsQuery, staleTime: 0 })
  if (jobs.some((job) => job.datasetId === dataset.id && job.schedule.kind === 'streaming')) return
  await watchDataset(dataset)
}
