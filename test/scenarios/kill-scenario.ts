import { setTimeout as sleep } from 'node:timers/promises'
import { uniform } from '../support/random.ts'
import type { JsonAnswer } from '../support/json-answer.ts'
import { exportFindings, exportPoints, missingPoints } from './exported.ts'
import { generateData, type LoadRequest, toRequests } from './generated-data.ts'
import type { Installation } from './installation.ts'

/** What a run of the scenario varies, drawn from its seed. */
export interface KillPlan {
  readonly seed: number
  readonly dataSeed: number
  readonly kind: 'once' | 'streaming'
  /** How many requests are under way at once; a streaming job wants its points in order. */
  readonly lanes: number
  /** After how many acknowledged requests the first kill comes, and how much later. */
  readonly acknowledgedBefore: number
  readonly delayMs: number
  /** Kills while it starts again, so many milliseconds after each launch. */
  readonly recoveryKillsMs: readonly number[]
  /** When detection is killed: after a share of the undisturbed duration, or so long after the first checkpoint of the long series. */
  readonly detection: { readonly share?: number; readonly afterCheckpointMs?: number }
}

const REQUESTS = 40

/** More points than all short series have, which are looked at first: from here on it is the long one. */
const MORE_THAN_SHORT = 13_000

/** What an undisturbed run of the same data finds. */
export interface Undisturbed {
  readonly points: ReadonlyMap<string, number>
  readonly findings: readonly object[]
  /** From making the job to its end. */
  readonly durationMs: number
}

/** What happened, for the report. */
export interface KillReport {
  readonly acknowledged: number
  readonly resent: number
  readonly kills: number
  readonly attempts: number
  /** From the launch of the new process to the run being taken up again; undefined where it had ended before the kill. */
  readonly takeoverMs: number | undefined
  /** The same from the moment the new process answered requests; negative where it was taken up before that. */
  readonly afterReadyMs: number | undefined
}

/** A plan drawn from a seed; every third seed watches a stream, every second one is killed again while it recovers. */
export function planOf(seed: number, dataSeeds: number): KillPlan {
  const random = uniform(seed * 2_654_435_761)
  const kind = seed % 3 === 2 ? 'streaming' : 'once'
  return {
    seed,
    dataSeed: 100 + (seed % dataSeeds) * 20,
    kind,
    lanes: kind === 'streaming' ? 1 : 4,
    acknowledgedBefore: Math.floor(random() * (REQUESTS - 4)),
    delayMs: random() * 40,
    recoveryKillsMs: seed % 2 === 1 ? [random() * 1_500] : [],
    detection: random() < 0.5 ? { share: random() } : { afterCheckpointMs: random() * 150 },
  }
}

/** Loads and detects without a disturbance, in a dataset of its own. */
export async function runUndisturbed(installation: Installation, plan: KillPlan): Promise<Undisturbed> {
  const dataset = `undisturbed-${plan.kind}-${plan.dataSeed}`
  const requests = toRequests(generateData(plan.dataSeed), REQUESTS)
  await installation.ask('POST', '/v1/datasets', { name: dataset })
  const streaming = plan.kind === 'streaming' ? await createJob(installation, dataset, plan.kind) : undefined
  for (const { body } of requests) await installation.ask('POST', `/v1/datasets/${dataset}/points`, body)
  const startedAt = Date.now()
  const jobId = streaming ?? (await createJob(installation, dataset, plan.kind))
  await untilDetected(installation, jobId, countPoints(requests))
  const durationMs = Date.now() - startedAt
  return {
    points: await exportPoints(installation, dataset),
    findings: await exportFindings(installation, jobId),
    durationMs,
  }
}

/**
 * Kills everything while points are loaded and while they are looked at, as the plan says; sends again what was not
 * acknowledged and some of what was; answers what is there in the end.
 */
export async function runKilled(
  installation: Installation,
  plan: KillPlan,
  undisturbed: Undisturbed,
): Promise<{
  points: ReadonlyMap<string, number>
  findings: readonly object[]
  report: KillReport
}> {
  const random = uniform(plan.seed * 40_503 + 1)
  const requests = toRequests(generateData(plan.dataSeed), REQUESTS)
  const total = countPoints(requests)
  await installation.ask('POST', '/v1/datasets', { name: 'killed' })
  const streaming = plan.kind === 'streaming' ? await createJob(installation, 'killed', plan.kind) : undefined
  const load = new Load(installation)
  let kills = 0
  const kill = async (): Promise<void> => {
    kills += 1
    await installation.killEverything(random)
  }

  // (a) While points are loaded.
  const sending = load.send(plan.kind === 'once' ? shuffled(requests, random) : requests, plan.lanes)
  await load.untilAcknowledged(plan.acknowledgedBefore)
  await sleep(plan.delayMs)
  await kill()
  await sending
  for (const delayMs of plan.recoveryKillsMs) {
    installation.launch()
    await sleep(delayMs)
    await kill()
  }
  await installation.start()
  const acknowledged = [...load.acknowledged]
  const expected = new Map(acknowledged.flatMap(({ points }) => [...points]))
  const lost = missingPoints(expected, await exportPoints(installation, 'killed'))
  if (lost.length > 0) throw new Error(`Acknowledged before the kill, and lost: ${lost.join('; ')}`)
  const again = [
    ...requests.filter((request) => !load.acknowledged.has(request)),
    ...acknowledged.filter(() => random() < 0.3),
  ]

  // (b) While they are looked at: a stream is looked at as it arrives, so the load itself is killed once more.
  let jobId = streaming
  if (jobId === undefined) {
    await load.sendAll(again, plan.lanes)
    jobId = await createJob(installation, 'killed', plan.kind)
    const { afterCheckpointMs = 0 } = plan.detection
    await (plan.detection.share !== undefined
      ? sleep(plan.detection.share * undisturbed.durationMs)
      : untilScanned(installation, jobId, MORE_THAN_SHORT).then(() => sleep(afterCheckpointMs)))
  } else {
    const before = load.acknowledged.size
    const resending = load.send(again, plan.lanes)
    const missing = requests.length - before
    await load.untilAcknowledged(before + Math.floor(random() * Math.max(0, missing - 1)))
    await sleep(plan.delayMs)
    await kill()
    await resending
  }
  const before = plan.kind === 'once' ? await lastRun(installation, jobId).catch(() => undefined) : undefined
  if (plan.kind === 'once') await kill()
  for (const delayMs of plan.recoveryKillsMs.map(() => random() * 2_000)) {
    installation.launch()
    await sleep(delayMs)
    await kill()
  }
  const launchedAt = Date.now()
  await installation.start()
  const readyAt = Date.now()
  const takenOver =
    before?.status === 'running' ? untilTakenOver(installation, jobId, before.attempt) : undefined
  if (plan.kind === 'streaming')
    await load.sendAll(
      requests.filter((request) => !load.acknowledged.has(request)),
      plan.lanes,
    )
  await untilDetected(installation, jobId, total)
  const takenAt = await takenOver
  return {
    points: await exportPoints(installation, 'killed'),
    findings: await exportFindings(installation, jobId),
    report: {
      acknowledged: acknowledged.length,
      resent: again.length,
      kills,
      attempts: (await lastRun(installation, jobId)).attempt,
      takeoverMs: takenAt === undefined ? undefined : takenAt - launchedAt,
      afterReadyMs: takenAt === undefined ? undefined : takenAt - readyAt,
    },
  }
}

/** Sends requests and remembers which were acknowledged. */
class Load {
  readonly acknowledged = new Set<LoadRequest>()
  readonly #installation: Installation

  constructor(installation: Installation) {
    this.#installation = installation
  }

  /** Sends until the first failure of each lane: whoever sends has seen the server go away. */
  async send(requests: readonly LoadRequest[], lanes: number): Promise<void> {
    const queue = [...requests]
    const lane = async (): Promise<void> => {
      for (let request = queue.shift(); request !== undefined; request = queue.shift()) {
        const answer = await this.#installation
          .request('POST', '/v1/datasets/killed/points', request.body)
          .catch(() => undefined)
        if (answer?.status !== 200) return
        this.acknowledged.add(request)
      }
    }
    await Promise.all(Array.from({ length: lanes }, lane))
  }

  /** Sends what must now succeed, at the first try. */
  async sendAll(requests: readonly LoadRequest[], lanes: number): Promise<void> {
    const before = new Set(requests.filter((request) => this.acknowledged.has(request)))
    for (const request of before) this.acknowledged.delete(request)
    await this.send(requests, lanes)
    if (!requests.every((request) => this.acknowledged.has(request)))
      throw new Error('A request failed while nothing was killed.')
  }

  async untilAcknowledged(count: number): Promise<void> {
    const until = Date.now() + 60_000
    while (this.acknowledged.size < count && Date.now() < until) await sleep(1)
  }
}

async function createJob(
  installation: Installation,
  dataset: string,
  kind: 'once' | 'streaming',
): Promise<string> {
  const job = await installation.ask('POST', '/v1/jobs', { dataset, schedule: { kind } })
  return job.id
}

async function lastRun(installation: Installation, jobId: string): Promise<JsonAnswer> {
  return (await installation.ask('GET', `/v1/jobs/${jobId}`)).lastRun
}

async function untilScanned(installation: Installation, jobId: string, points: number): Promise<void> {
  for (;;) {
    const run = await lastRun(installation, jobId)
    if (run.pointsScanned >= points || !['pending', 'running'].includes(run.status)) return
    await sleep(3)
  }
}

/** When the run was taken up again; `undefined` where it had ended between the last look and the kill. */
async function untilTakenOver(
  installation: Installation,
  jobId: string,
  attempt: number,
): Promise<number | undefined> {
  for (const until = Date.now() + 60_000; Date.now() < until; await sleep(10)) {
    const run = await lastRun(installation, jobId)
    if (run.attempt > attempt) return Date.now()
    if (run.status !== 'running') return undefined
  }
  throw new Error('The run was not taken over.')
}

/** Waits until a job that runs once has ended, or a stream has seen every point. Every point counts once, however often it was looked at. */
async function untilDetected(installation: Installation, jobId: string, points: number): Promise<void> {
  for (const until = Date.now() + 60_000; ; await sleep(25)) {
    const job = await installation.ask('GET', `/v1/jobs/${jobId}`)
    const { lastRun: run } = job
    if (job.status === 'failed') throw new Error(`The job failed: ${JSON.stringify(run.error)}`)
    if (run?.pointsScanned > points)
      throw new Error(`${run.pointsScanned} points were counted, of ${points}.`)
    const isStream = job.schedule.kind === 'streaming'
    if (isStream ? run?.pointsScanned === points : job.status === 'completed') {
      if (run.pointsScanned !== points)
        throw new Error(`${run.pointsScanned} points were counted, of ${points}.`)
      return
    }
    if (Date.now() > until) throw new Error(`The job did not come to its end: ${JSON.stringify(job)}`)
  }
}

function countPoints(requests: readonly LoadRequest[]): number {
  return requests.reduce((count, { points }) => count + points.size, 0)
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, key: random() }))
    .toSorted((a, b) => a.key - b.key)
    .map(({ item }) => item)
}
