import type { ColumnOverrides, ColumnPlan } from '../ingestion/column-plan.ts'
import { parsePoints } from '../ingestion/parse-points.ts'
import type { ParsedPoints, RejectedLine } from '../ingestion/parsed-points.ts'
import type { ApiClient } from './api-client.ts'
import type { InputFile } from './input-file.ts'
import { note, paint } from './output.ts'
import { pointSlices } from './point-slices.ts'
import { Progress } from './progress.ts'
import { retrying } from './retry.ts'

const SLICE_BYTES = 8 * 1_048_576
const ATTEMPTS = 10
const REQUEST_TIMEOUT_MS = 120_000
/** What a program writes now and then is sent after such a pause. */
const FLUSH_AFTER_MS = 1000
const REJECTED_LISTED = 100

/** What became of the points of a file. */
export interface IngestReport {
  inserted: number
  /** There already, with the same value. */
  duplicates: number
  /** There already with another value, which was kept. */
  conflicting: number
  /** Lines of the file that were refused, here or by the server. */
  rejected: RejectedLine[]
  rejectedTotal: number
  columns: ColumnPlan | undefined
}

interface AppendAnswer {
  readonly inserted: number
  readonly duplicates: number
  readonly conflicting: number
  readonly rejected: readonly RejectedLine[]
  readonly rejectedTotal: number
}

/**
 * Sends a file to a dataset in slices, each repeated while the server is away: the first write of a point wins, so
 * repeating is harmless, also of the whole file after an interruption.
 */
export async function ingestFile(
  client: ApiClient,
  dataset: string,
  file: InputFile,
  columns: ColumnOverrides,
  signal: AbortSignal,
): Promise<IngestReport> {
  const report: IngestReport = {
    inserted: 0,
    duplicates: 0,
    conflicting: 0,
    rejected: [],
    rejectedTotal: 0,
    columns: undefined,
  }
  const progress = new Progress('Sending', file.size)
  const chunks = parsePoints(file.format, file.bytes, { columns, flushAfterMs: FLUSH_AFTER_MS })[
    Symbol.asyncIterator
  ]()
  try {
    let next = chunks.next()
    for (;;) {
      const { value: chunk, done } = await next
      if (done === true) return report
      reject(report, chunk.rejected, chunk.rejectedTotal)
      report.columns = chunk.columns
      // The next chunk is read while this one is on its way.
      next = chunks.next()
      next.catch(() => undefined)
      for (const slice of pointSlices(chunk.points, SLICE_BYTES)) {
        const answer = await send(client, dataset, slice.body, signal)
        addAnswer(report, answer, chunk.points, slice.from)
        const sent = report.inserted + report.duplicates + report.conflicting
        progress.update(file.position(), `${sent.toLocaleString('en-US')} points`)
      }
    }
  } finally {
    progress.stop()
    await chunks.return?.()
  }
}

function send(
  client: ApiClient,
  dataset: string,
  body: Uint8Array,
  signal: AbortSignal,
): Promise<AppendAnswer> {
  const path = `/v1/datasets/${encodeURIComponent(dataset)}/points`
  return retrying(
    {
      attempts: ATTEMPTS,
      signal,
      random: Math.random,
      onWait: (error, waitMs) =>
        note(paint('dim', `${error.message} Trying again in ${(waitMs / 1000).toFixed(1)} s.`)),
    },
    () =>
      client.request<AppendAnswer>('POST', path, {
        data: { bytes: body, type: 'application/x-ndjson' },
        timeoutMs: REQUEST_TIMEOUT_MS,
        signal,
      }),
  )
}

/** Lines of a slice are turned back into lines of the file. */
function addAnswer(report: IngestReport, answer: AppendAnswer, points: ParsedPoints, from: number): void {
  report.inserted += answer.inserted
  report.duplicates += answer.duplicates
  report.conflicting += answer.conflicting
  const lines = answer.rejected.map(({ line, reason }) => ({
    line: points.lines[from + line - 1] ?? 0,
    reason,
  }))
  reject(report, lines, answer.rejectedTotal)
}

function reject(report: IngestReport, lines: readonly RejectedLine[], total: number): void {
  report.rejected.push(...lines.slice(0, REJECTED_LISTED - report.rejected.length))
  report.rejectedTotal += total
}
