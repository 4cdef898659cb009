import type pg from 'pg'
import type { TestAnswer, TestNomaly } from '../support/nomaly.ts'
import type { KnownThings } from './rubbish-values.ts'

/** One of everything, made anew where rubbish that made sense has removed it. */
export async function makeKnownThings(nomaly: TestNomaly, client: pg.Client): Promise<KnownThings> {
  const post = async (path: string, body: unknown): Promise<TestAnswer['body']> =>
    (await nomaly.request('POST', path, { body })).body
  const { tenantId } = nomaly.tenant
  await post('/v1/datasets', { name: 'known' })
  const points = Array.from({ length: 50 }, (_, i) => ({
    time: 1_767_225_600_000 + i * 60_000,
    metric: 'cpu',
    value: i,
  }))
  await post('/v1/datasets/known/points', points)
  const dataset = (await nomaly.request('GET', '/v1/datasets/known')).body
  const [series] = (await nomaly.request('GET', '/v1/datasets/known/series')).body.items
  const backfill = await openBackfill(nomaly)
  const detector = await post('/v1/detectors', { name: `known ${Math.random()}` })
  const job = await post('/v1/jobs', { dataset: 'known', schedule: { kind: 'cron', cron: '0 0 1 1 *' } })
  const run = await post(`/v1/jobs/${job.id}/runs`, undefined)
  const key = await post('/v1/keys', { name: 'known', role: 'viewer' })
  await post('/v1/flags', { key: 'known', enabled: true })
  const link = await post('/v1/sign-in-links', undefined)
  await nomaly.request('GET', link.path, { key: '' })
  const [session] = (await nomaly.request('GET', '/v1/sessions')).body.items
  await nomaly.request('PUT', '/v1/webhook', { body: { url: 'http://127.0.0.1:9/' } })
  // Findings are the worker's, and there is none here.
  const { rows } = await client.query<{ id: string }>(
    `insert into nomaly.anomalies (tenant_id, job_id, run_id, dataset_id, series_id, metric, tags, started_at, ended_at, detected_at,
       peak_at, observed, expected, lower_bound, upper_bound, score, detected_score, probability, severity, direction, algorithm,
       explanation, ongoing)
     values ($1, $2, $3, $4, $5, 'cpu', '{}', '2026-01-01', '2026-01-01', '2026-01-01', '2026-01-01', 9, 1, 0, 2, 0.9, 0.9, 0.001,
       'high', 'above', 'ewma', 'It stands out.', false) returning id`,
    [tenantId, job.id, run.id, dataset.id, series.id],
  )
  return {
    tenantId,
    datasets: dataset.id,
    datasetName: 'known',
    series: String(series.id),
    jobs: job.id,
    runs: run.id,
    anomalies: rows[0]!.id,
    detectors: detector.id,
    keys: key.id,
    sessions: session.id,
    flags: 'known',
    settings: 'log-level',
    backfills: backfill.id,
    parts: '1',
  }
}

/** One that takes parts; those that rubbish has opened beside it are cancelled, since only so many may be open. */
async function openBackfill(nomaly: TestNomaly): Promise<TestAnswer['body']> {
  const path = '/v1/datasets/known/backfills'
  const { items } = (await nomaly.request('GET', `${path}?limit=500`)).body
  const open = items.filter(({ status }: { status: string }) => !['completed', 'cancelled'].includes(status))
  for (const { id } of open) await nomaly.request('DELETE', `${path}/${id}`)
  const { body } = await nomaly.request('POST', path)
  await nomaly.request('PUT', `${path}/${body.id}/parts/1`, {
    body: '{"time":1767225600000,"metric":"cpu","value":1}',
    headers: { 'content-type': 'application/x-ndjson' },
  })
  return body
}
