import { join } from 'node:path'
import { expect, it } from 'vitest'
import { AT, METRICS, openImportFixture, temporaryFolder, writeSqlite } from './import-fixture.ts'

const id = (number: number): string => `${String(number).padStart(8, '0')}-1111-4111-8111-111111111111`

it('of metrics become series and points; what repeats counts once, and what contradicts is set aside', async () => {
  const { run, admin, store } = await openImportFixture()
  const path = join(await temporaryFolder(), 'metrics.db')
  const row = {
    name: 'latency',
    value: 1.5,
    unit: 'ms',
    tags: '{"host": "a", "n": 1}',
    timestamp: AT,
    entity_type: 'detector',
    entity_id: id(1),
  }
  const later = (seconds: number): string => `2025-06-01 12:00:${String(seconds).padStart(2, '0')}.000000`
  writeSqlite(path, {
    metrics: {
      columns: METRICS,
      rows: [
        { ...row, id: 'm1' },
        { ...row, id: 'm2' },
        { ...row, id: 'm3', value: 2.5 },
        { ...row, id: 'm4', timestamp: later(1), tags: '{"n": 1, "host": "a"}' },
        { ...row, id: 'm5', timestamp: later(2), value: Number.POSITIVE_INFINITY },
        { ...row, id: 'm6', timestamp: later(3), value: 1e200 },
        { ...row, id: 'm7', timestamp: 'soon' },
        { ...row, id: 'm8', timestamp: later(4), value: 'many' },
        { ...row, id: 'm9', timestamp: later(5), value: 7n },
        {
          ...row,
          id: 'm10',
          timestamp: later(5),
          unit: null,
          tags: null,
          entity_type: null,
          entity_id: null,
        },
        { ...row, id: 'm11', timestamp: later(6), tags: '[1]' },
        { ...row, id: 'm12', timestamp: later(7), name: '' },
      ],
    },
  })
  const check = async (again: boolean): Promise<void> => {
    const report = await run(path, { again })
    expect(report).toMatchObject({
      isRight: true,
      stores: [{ tables: [{ read: 12, quarantined: 6, duplicates: 1, series: 2 }] }],
    })
    expect(
      report.stores[0]!.quarantine.map(({ sourceId, reason, detail }) => [sourceId, reason, detail]),
    ).toEqual([
      ['m3', 'conflicting_point', 'its series has 1.5 at this instant, and the first one counts'],
      ['m6', 'unstorable', 'value 1e+200 is beyond ±1e+148'],
      ['m7', 'unstorable', 'timestamp is no time: soon'],
      ['m8', 'unstorable', 'value is no number: many'],
      ['m11', 'unstorable', 'tags are no JSON object'],
      ['m12', 'unstorable', 'metric must not be empty'],
    ])
  }
  await check(false)
  await check(true)
  const [{ tenantId }] = (await admin<{ tenantId: string }>(
    `select tenant_id as "tenantId" from nomaly.datasets where name = 'pynomaly-metrics'`,
  )) as [{ tenantId: string }]
  const series = await store.metrics.listSeries({ tenantId }, {})
  expect(series.map(({ metric, tags }) => ({ metric, tags }))).toEqual([
    { metric: 'latency', tags: { host: 'a', n: '1', unit: 'ms', entity_type: 'detector', entity_id: id(1) } },
    { metric: 'latency', tags: {} },
  ])
  const points: [number, number][] = []
  for await (const part of store.metrics.scan({ tenantId }, [series[0]!.id], { fromMs: 0, toMs: 4e12 }))
    part.timesMs.forEach((time, at) => points.push([time, part.values[at]!]))
  const noon = Date.UTC(2025, 5, 1, 12)
  expect(points).toEqual([
    [noon + 250.001, 1.5],
    [noon + 1000, 1.5],
    [noon + 2000, Number.POSITIVE_INFINITY],
    [noon + 5000, 7],
  ])
})
