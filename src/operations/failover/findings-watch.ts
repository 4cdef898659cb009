import { setTimeout as sleep } from 'node:timers/promises'
import type { Identity } from '../../access/identity.ts'
import type { Dataset } from '../../datasets/dataset.ts'
import { validateDetectorSettings } from '../../detection/algorithms.ts'
import { detectSeries } from '../../detection/series-monitor.ts'
import type { SeriesId } from '../../metrics/metrics-engine.ts'
import type { Store } from '../../store/store.ts'
import { advanceStream } from '../../workflows/advance-stream.ts'
import { appendPoints } from '../../workflows/append-points.ts'
import { addJob } from '../../workflows/manage-jobs.ts'
import { untilDeadline } from './until-deadline.ts'

export interface FindingsWatchOptions {
  readonly store: Store
  readonly identity: Identity
  readonly dataset: Dataset
  /** Of the first point, epoch milliseconds: some days ago, as each point is {@link STEP_MS} after the one before. */
  readonly originMs: number
}

/** What a streaming job found through a failover, against what it finds in the same points undisturbed. */
export interface FindingsAccount {
  readonly expected: number
  readonly missed: number
  /** The same finding twice. */
  readonly doubled: number
  /** Found, and not in the points that are there. */
  readonly unfounded: number
}

const METRIC = 'signal'
const STEP_MS = 20_000
/** Points of one write, and of the first one, in which the detector learns what is normal. */
const BATCH = 20
const LEARNING = 1_000
/** One point in so many is far off. */
const SPIKE_EVERY = 47
const WRITE_INTERVAL_MS = 100
const LOOK_INTERVAL_MS = 200
const SETTINGS = { algorithm: 'robust-z', budget: { alarms: 1, perSeconds: 3_600 } }

/** Writes a signal with spikes and takes a streaming job over it, beside whatever workers the installation has, while the leader is lost. */
export class FindingsWatch implements AsyncDisposable {
  readonly #options: FindingsWatchOptions
  readonly #jobId: string
  readonly #stopping = new AbortController()
  readonly #lanes: Promise<void>[]

  private constructor(options: FindingsWatchOptions, jobId: string) {
    this.#options = options
    this.#jobId = jobId
    this.#lanes = [this.#write(), this.#look()]
  }

  /** Makes the job, lets it learn, and begins. */
  static async start(options: FindingsWatchOptions): Promise<FindingsWatch> {
    const { store, identity, dataset } = options
    const { value: job } = await store.transaction(identity.scope, async (unit) => {
      const detector = await unit.detectors.findOrCreate('drill', validateDetectorSettings(SETTINGS))
      return addJob(unit, identity, {
        name: dataset.name,
        dataset: dataset.id,
        detectorId: detector.id,
        schedule: { kind: 'streaming' },
        selector: { metric: METRIC },
      })
    })
    await appendSignal(options, 0, LEARNING)
    await advance(options, job.id, new AbortController().signal)
    return new FindingsWatch(options, job.id)
  }

  /** Ends writing, has the job see everything within the time given, and compares. What it could not see by then is missed. */
  async account(timeoutMs: number): Promise<FindingsAccount> {
    const { store, identity } = this.#options
    const { scope } = identity
    const deadline = AbortSignal.timeout(timeoutMs)
    await untilDeadline(deadline, () => this[Symbol.asyncDispose]())
    await untilDeadline(deadline, () => this.#advanceAll(deadline))
    const latest = store.read(scope, 'latest')
    const found: number[] = []
    for (let cursor: string | undefined; ;) {
      const page = await latest.anomalies.list({ jobId: this.#jobId }, { limit: 500, cursor })
      found.push(...page.items.map(({ startedAt }) => startedAt.getTime()))
      if (page.nextCursor === null) break
      cursor = page.nextCursor
    }
    const [series] = await store.metrics.listSeries(scope, {
      sourceId: this.#options.dataset.id,
      metric: METRIC,
    })
    const expected = series === undefined ? [] : await this.#expected(series.id)
    const startedAt = new Set(found)
    return {
      expected: expected.length,
      missed: expected.filter((startMs) => !startedAt.has(startMs)).length,
      doubled: found.length - startedAt.size,
      unfounded: [...startedAt].filter((startMs) => !expected.includes(startMs)).length,
    }
  }

  /** Ends both lanes; one that waits for an answer is waited for. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#lanes)
  }

  /** A cluster that has just got a new leader may refuse for a while. */
  async #advanceAll(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await advance(this.#options, this.#jobId, signal)
        return
      } catch {
        await sleep(LOOK_INTERVAL_MS, undefined, { signal }).catch(() => {})
      }
    }
  }

  /** In order, each until it is stored: what a detector sees late it leaves out. */
  async #write(): Promise<void> {
    const { signal } = this.#stopping
    for (let from = LEARNING; !signal.aborted;) {
      const isStored = await appendSignal(this.#options, from, BATCH).then(
        () => true,
        () => false,
      )
      if (isStored) from += BATCH
      await sleep(WRITE_INTERVAL_MS, undefined, { signal }).catch(() => {})
    }
  }

  async #look(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      // Whatever fails is made up for by the next look: that is what is tried here.
      await advance(this.#options, this.#jobId, signal).catch(() => {})
      await sleep(LOOK_INTERVAL_MS, undefined, { signal }).catch(() => {})
    }
  }

  /** Starts of what one look at the stored points finds. */
  async #expected(seriesId: SeriesId): Promise<number[]> {
    const { store, identity, originMs } = this.#options
    const timesMs: number[] = []
    const values: number[] = []
    const range = { fromMs: originMs, toMs: originMs + 1e10 }
    for await (const columns of store.metrics.scan(identity.scope, [seriesId], range)) {
      timesMs.push(...columns.timesMs)
      values.push(...columns.values)
    }
    const { findings } = detectSeries(
      validateDetectorSettings(SETTINGS),
      Float64Array.from(timesMs),
      Float64Array.from(values),
      { band: false },
    )
    return [...new Set(findings.map(({ startMs }) => startMs))]
  }
}

function advance(
  { store, identity }: FindingsWatchOptions,
  jobId: string,
  signal: AbortSignal,
): Promise<void> {
  return advanceStream({ store, scope: identity.scope, jobId, workerId: `drill ${process.pid}`, signal })
}

async function appendSignal(
  { store, identity, dataset, originMs }: FindingsWatchOptions,
  from: number,
  points: number,
): Promise<void> {
  const numbers = Array.from({ length: points }, (_, i) => from + i)
  await appendPoints(store, identity.scope, dataset, {
    keys: [{ metric: METRIC, tags: {} }],
    series: new Uint32Array(points),
    timesMs: Float64Array.from(numbers, (n) => originMs + n * STEP_MS),
    values: Float64Array.from(numbers, signalAt),
    lines: new Uint32Array(points),
    rejected: [],
    rejectedTotal: 0,
    columns: undefined,
  })
}

/** The same for everybody: noise within one of 100, and now and then something far off. */
function signalAt(n: number): number {
  const noise = (Math.imul(n + 1, 2_654_435_761) >>> 0) / 2 ** 31 - 1
  return n >= LEARNING && n % SPIKE_EVERY === 0 ? 160 + noise : 100 + noise
}
