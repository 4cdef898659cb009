import { expect, test } from 'vitest'
import { eventually, startTestNomaly } from '../support/nomaly.ts'

test('points go in, a streaming job finds the spike, and a person acknowledges it', async () => {
  await using nomaly = await startTestNomaly()
  const created = await nomaly.request('POST', '/v1/datasets', { body: { name: 'shop' } })
  expect(created.status).toBe(201)
  const lines = Array.from({ length: 2_000 }, (_, minute) =>
    JSON.stringify({
      time: new Date(1_700_000_000_000 + minute * 60_000).toISOString(),
      metric: 'orders',
      tags: { region: 'eu' },
      value: minute === 1_800 ? 500 : 100 + ((minute * 7919) % 13),
    }),
  )
  const sent = await nomaly.request('POST', '/v1/datasets/shop/points', {
    body: lines.join('\n'),
    headers: { 'content-type': 'application/x-ndjson' },
  })
  expect(sent.body).toEqual({
    inserted: 2_000,
    duplicates: 0,
    conflicting: 0,
    rejected: [],
    rejectedTotal: 0,
  })
  expect(sent.headers.get('nomaly-position')).toMatch(/^1:\d+\.\d+\.[0-9A-F]+\/[0-9A-F]+$/)

  const job = await nomaly.request('POST', '/v1/jobs', {
    body: { dataset: 'shop', schedule: { kind: 'streaming' } },
  })
  expect(job.status).toBe(201)
  const anomaly = await eventually(async () => {
    const { body } = await nomaly.request('GET', '/v1/anomalies')
    return body.items[0]
  })
  expect(anomaly).toMatchObject({ metric: 'orders', observed: 500, severity: 'critical', state: 'open' })
  expect(anomaly.startedAt).toBe(new Date(1_700_000_000_000 + 1_800 * 60_000).toISOString())

  const acknowledged = await nomaly.request('POST', `/v1/anomalies/${anomaly.id}/acknowledge`, {
    body: { note: 'a sale' },
  })
  expect(acknowledged.body).toMatchObject({
    state: 'acknowledged',
    note: 'a sale',
    stateChangedBy: 'key:admin',
  })
})
