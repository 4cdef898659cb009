import { setTimeout as sleep } from 'node:timers/promises'
import { NomalyError } from '../errors.ts'
import type { ColumnOverrides } from '../ingestion/column-plan.ts'
import { parsePoints } from '../ingestion/parse-points.ts'
import type { RejectedLine } from '../ingestion/parsed-points.ts'
import type { ApiClient } from './api-client.ts'
import type { Backfill } from './api-entities.ts'
import type { InputFile } from './input-file.ts'
import { note, paint } from './output.ts'
import { type PointPart, pointParts } from './point-parts.ts'
import { Progress } from './progress.ts'
import { retrying } from './retry.ts'

/** Parts on their way at once: while one is stored the next is read. */
const AT_ONCE = 3
const ATTEMPTS = 10
const REQUEST_TIMEOUT_MS = 120_000
const MOST_PARTS_LISTED = 100_000
const POLL_MS = 1_000
const REJECTED_LISTED = 100

/** A part as the server has it. */
interface StoredPart {
  readonly number: number
  readonly digest: string
  readonly rejected: readonly RejectedLine[]
  readonly rejectedTotal: number
}

/** Lines of a file that were refused, here or by the server. */
export interface RefusedLines {
  readonly rejected: RejectedLine[]
  rejectedTotal: number
}

export interface BackfillTarget {
  readonly client: ApiClient
  /** Path of the backfill in the API. */
  readonly path: string
  readonly signal: AbortSignal
}

/**
 * Sends the parts of a file that the server does not have yet, some at once; answers how many parts there are in all.
 * @throws NomalyError `conflict` where what the server has is of another file.
 */
export async function sendParts(
  target: BackfillTarget,
  file: InputFile,
  columns: ColumnOverrides,
  refused: RefusedLines,
): Promise<number> {
  const { client, path, signal } = target
  const stored = new Map(
    (await client.list<StoredPart>(`${path}/parts`, {}, MOST_PARTS_LISTED)).map((part) => [
      part.number,
      part,
    ]),
  )
  const failing = new AbortController()
  const sending = { ...target, signal: AbortSignal.any([signal, failing.signal]) }
  const progress = new Progress('Sending', file.size)
  const underWay = new Set<Promise<void>>()
  let points = 0
  let parts = 0
  try {
    const chunks = parsePoints(file.format, file.bytes, { columns })
    for await (const part of pointParts(chunks, (chunk) =>
      refuse(refused, chunk.rejected, chunk.rejectedTotal),
    )) {
      sending.signal.throwIfAborted()
      parts = part.number
      const before = stored.get(part.number)
      if (before !== undefined && before.digest !== part.digest) throw changed(part.number)
      while (underWay.size >= AT_ONCE) await Promise.race(underWay)
      const one = (before === undefined ? sendPart(sending, part) : Promise.resolve(before)).then(
        (answer) => {
          const lines = answer.rejected.map(({ line, reason }) => ({
            line: part.lines[line - 1] ?? 0,
            reason,
          }))
          refuse(refused, lines, answer.rejectedTotal)
          points += part.lines.length
          progress.update(file.position(), `${points.toLocaleString('en-US')} points`)
          underWay.delete(one)
        },
      )
      // Looked at where somebody waits for it; what fails meanwhile must not end the process.
      one.catch(() => undefined)
      underWay.add(one)
    }
    await Promise.all(underWay)
  } finally {
    failing.abort()
    await Promise.allSettled(underWay)
    progress.stop()
  }
  const beyond = Math.max(0, ...stored.keys())
  if (beyond > parts) throw changed(beyond)
  return parts
}

/** Waits until a backfill has ended, however. */
export async function awaitMerge(target: BackfillTarget): Promise<Backfill> {
  const { client, path, signal } = target
  let progress: Progress | undefined
  try {
    for (;;) {
      const backfill = await patiently(signal, () => client.get<Backfill>(path, undefined, signal))
      if (backfill.status !== 'merging') return backfill
      const done = backfill.inserted + backfill.duplicates + backfill.conflicting + backfill.expired
      progress ??= new Progress('Merging', Math.max(1, backfill.points))
      progress.update(
        done,
        `${done.toLocaleString('en-US')} of ${backfill.points.toLocaleString('en-US')} points`,
      )
      await sleep(POLL_MS, undefined, { signal })
    }
  } finally {
    progress?.stop()
  }
}

/** Says that all parts were sent. */
export async function finishParts(
  { client, path, signal }: BackfillTarget,
  parts: number,
): Promise<Backfill> {
  return patiently(signal, () =>
    client.request<Backfill>('POST', `${path}/finish`, { body: { parts }, signal }),
  )
}

function sendPart({ client, path, signal }: BackfillTarget, part: PointPart): Promise<StoredPart> {
  return patiently(signal, () =>
    client.request<StoredPart>('PUT', `${path}/parts/${part.number}`, {
      data: { bytes: part.body, type: 'application/x-ndjson' },
      timeoutMs: REQUEST_TIMEOUT_MS,
      signal,
    }),
  )
}

function patiently<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const onWait = (error: NomalyError, waitMs: number): void =>
    note(paint('dim', `${error.message} Trying again in ${(waitMs / 1000).toFixed(1)} s.`))
  return retrying({ attempts: ATTEMPTS, signal, random: Math.random, onWait }, work)
}

function changed(part: number): NomalyError {
  return new NomalyError('conflict', `The file is not the one that was begun with: part ${part} differs.`, {
    hint: 'Give the file as it was, with the same options, or begin again without --resume: points that are there already do no harm.',
  })
}

function refuse(report: RefusedLines, lines: readonly RejectedLine[], total: number): void {
  report.rejected.push(...lines.slice(0, Math.max(0, REJECTED_LISTED - report.rejected.length)))
  report.rejectedTotal += total
}
