import { expect } from 'vitest'
import { eventually, type TestAnswer, type TestNomaly } from '../support/nomaly.ts'

/** The time of the first point. */
export const START = 1_767_225_600_000

export type Body = TestAnswer['body']

/** What tests of jobs do again and again, with one installation. */
export class JobDesk {
  readonly #nomaly: TestNomaly
  #made = 0

  constructor(nomaly: TestNomaly) {
    this.#nomaly = nomaly
  }

  async get(path: string): Promise<Body> {
    const { body } = await this.#nomaly.request('GET', path)
    return body
  }

  async post(path: string, body: unknown, status: number): Promise<Body> {
    const answer = await this.#nomaly.request('POST', path, body === undefined ? {} : { body })
    expect(answer.status, `${path} ${JSON.stringify(answer.body)}`).toBe(status)
    return answer.body
  }

  /** A dataset with some series of a thousand points, each with one spike. */
  async makeDataset(series: number): Promise<string> {
    const name = `data-${(this.#made += 1)}`
    await this.post('/v1/datasets', { name }, 201)
    if (series > 0) await this.addPoints(name, series, 0, 1_000)
    return name
  }

  async addPoints(dataset: string, series: number, from: number, to: number): Promise<void> {
    const lines: string[] = []
    for (let s = 0; s < series; s++)
      for (let i = from; i < to; i++) {
        const value = i === 900 ? 1_000 : 100 + ((i * 7919) % 13)
        lines.push(
          `{"time":${START + i * 60_000},"metric":"metric-${s}","tags":{"host":"web"},"value":${value}}`,
        )
      }
    const { status, body } = await this.#nomaly.request('POST', `/v1/datasets/${dataset}/points`, {
      body: lines.join('\n'),
      headers: { 'content-type': 'application/x-ndjson' },
    })
    expect(status).toBe(200)
    expect(body.inserted).toBe(lines.length)
  }

  async untilStatus(id: string, status: string, timeoutMs = 20_000): Promise<Body> {
    return eventually(async () => {
      const job = await this.get(`/v1/jobs/${id}`)
      return job.status === status && job.lastRun.status === status && job
    }, timeoutMs)
  }

  async untilScanned(id: string, points: number): Promise<void> {
    await eventually(async () => {
      const { lastRun } = await this.get(`/v1/jobs/${id}`)
      return lastRun?.status === 'running' && lastRun.pointsScanned === points
    })
  }
}
