import pg from 'pg'
import { onTestFinished } from 'vitest'
import { takeSnapshots } from '../../src/jobs/detector-snapshots.ts'
import { eventually, startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { uniform } from '../support/random.ts'

const MINUTE_MS = 60_000
export const METRICS = ['orders', 'latency', 'errors'] as const

/** An installation in which detectors have worked for ten hours, a state of theirs was set aside, and then for two hours more. */
export class DetectedFixture {
  readonly nomaly: TestNomaly
  readonly #draw = uniform(21)
  #jobId = ''
  #minute = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 20 * 60 * MINUTE_MS

  private constructor(nomaly: TestNomaly) {
    this.nomaly = nomaly
  }

  static async start(nomaly?: TestNomaly): Promise<DetectedFixture> {
    const own = nomaly ?? (await startTestNomaly())
    if (nomaly === undefined) onTestFinished(() => own[Symbol.asyncDispose]())
    const fixture = new DetectedFixture(own)
    await fixture.post('/v1/datasets', { name: 'shop' })
    await fixture.load(600)
    fixture.#jobId = await fixture.post('/v1/jobs', { dataset: 'shop', schedule: { kind: 'streaming' } })
    await fixture.detected()
    await fixture.setAside()
    await fixture.load(60)
    await fixture.load(60, 25)
    await fixture.detected()
    // A job that looks at everything once.
    await fixture.post('/v1/jobs', { dataset: 'shop', schedule: { kind: 'once' } })
    await eventually(async () => {
      const [row] = await fixture.ask<{ open: number }>(
        "select count(*)::int as open from nomaly.jobs where status = 'completed'",
      )
      return row!.open === 1
    })
    return fixture
  }

  /** Makes something; answers its id. */
  async post(path: string, body: object): Promise<string> {
    return eventually(async () => {
      const answer = await this.nomaly.request('POST', path, { body })
      if (answer.status === 503) return false
      return answer.body.id as string
    })
  }

  /** Instant of the last point of every series, epoch milliseconds. */
  get lastMs(): number {
    return this.#minute - MINUTE_MS
  }

  /** Loads so many minutes of points, at whose end every series is far off for five, where a spike is asked for. */
  async load(minutes: number, spike = 0): Promise<void> {
    const lines: string[] = []
    for (let i = 0; i < minutes; i++) {
      for (const metric of METRICS) {
        const odd = i >= minutes - 10 && i < minutes - 5 ? spike : 0
        lines.push(JSON.stringify({ time: this.#minute, metric, value: 10 + this.#draw() + odd }))
      }
      this.#minute += MINUTE_MS
    }
    // Sent again while the machine is too busy: the same points are stored once.
    await eventually(async () => {
      const { status, body } = await this.nomaly.request('POST', '/v1/datasets/shop/points', {
        body: lines.join('\n'),
        headers: { 'content-type': 'application/x-ndjson' },
      })
      if (status !== 200 && status !== 503) throw new Error(JSON.stringify(body))
      return status === 200
    })
  }

  /** Waits until the streaming job has seen everything. */
  async detected(): Promise<void> {
    await eventually(async () => {
      const [row] = await this.ask<{ up: number }>(
        `select count(*)::int as up from nomaly.detector_states
         where job_id = $1 and watermark = to_timestamp($2::float8 / 1000)`,
        [this.#jobId, this.lastMs],
      )
      return row!.up === METRICS.length
    })
  }

  async setAside(): Promise<number> {
    const { value } = await this.nomaly.store.database.transaction({ role: 'nomaly_system' }, (connection) =>
      takeSnapshots(connection, { maxSeries: 100, everyMinutes: 0, keepMinutes: 600 }),
    )
    return value
  }

  ask<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    return askDatabase<Row>(this.nomaly.database.adminUrl, text, values)
  }
}

/** Runs a statement on a connection of its own, as superuser. */
export async function askDatabase<Row extends pg.QueryResultRow>(
  url: string,
  text: string,
  values: unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Row>(text, values)).rows
  } finally {
    await client.end()
  }
}
