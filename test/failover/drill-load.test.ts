import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { accountFor } from '../../src/operations/failover/account-writes.ts'
import { DrillLoad } from '../../src/operations/failover/drill-load.ts'
import { closeSite, type DrillPlace, openSite } from '../../src/operations/failover/drill-site.ts'
import { FindingsWatch } from '../../src/operations/failover/findings-watch.ts'
import { findCounters, findPoints } from '../../src/operations/failover/found-writes.ts'
import { WriteLedger } from '../../src/operations/failover/write-ledger.ts'
import { openStore } from '../../src/store/open-store.ts'
import type { Store } from '../../src/store/store.ts'
import { createMigratedDatabase, testConfig } from '../support/nomaly.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

interface Fixture {
  readonly store: Store
  readonly proxy: TcpProxy
  readonly place: DrillPlace
}

/** A store on a database of its own, by way of something that can cut its connections. */
async function open(): Promise<Fixture> {
  const { database, databaseUrl } = await createMigratedDatabase()
  onTestFinished(() => database.drop())
  const proxy = await TcpProxy.to(databaseUrl)
  onTestFinished(() => proxy[Symbol.asyncDispose]())
  const store = await openStore(testConfig({ databasePoolSize: 12 }), proxy.url(databaseUrl), () => {})
  onTestFinished(() => store[Symbol.asyncDispose]())
  return { store, proxy, place: await openSite(store, 'drill-test', Date.now() - 3_600_000) }
}

async function accounts({ store, place }: Fixture, ledger: WriteLedger) {
  return {
    counters: accountFor(ledger.of('counters'), await findCounters(store, place.site)),
    points: accountFor(ledger.of('points'), await findPoints(store, place.site)),
  }
}

test('cut at any moment, nothing that was acknowledged is missing and nothing is done twice', async () => {
  const fixture = await open()
  const { store, proxy, place } = fixture
  const ledger = new WriteLedger()
  const load = DrillLoad.start({ store, site: place.site, ledger, clock: Date.now, writesPerSecond: 400 })
  onTestFinished(() => load.stop())
  for (let cuts = 0; cuts < 12; cuts++) {
    await sleep(150 + 100 * Math.random())
    proxy.cut()
  }
  proxy.goAway()
  await sleep(500)
  proxy.comeBack()
  await sleep(1_000)
  await load.stop()

  const { counters, points } = await accounts(fixture, ledger)
  const clean = { missing: 0, doubled: 0, torn: 0, storedThoughRefused: 0 }
  expect(counters).toMatchObject(clean)
  expect(points).toMatchObject(clean)
  expect(counters.acknowledged).toBeGreaterThan(100)
  expect(points.acknowledged).toBeGreaterThan(10)
  expect(ledger.errors.size).toBeGreaterThan(0)
  expect([...ledger.errors.keys()].filter((name) => !/^[a-z_]+$/.test(name))).toEqual([])
  expect(load.reads).toMatchObject({ unseen: [] })
  expect(load.reads.answered).toBeGreaterThan(20)
})

test('what is taken away behind its back is found: a mark, a count, a point', async () => {
  const fixture = await open()
  const { store, place } = fixture
  const ledger = new WriteLedger()
  const load = DrillLoad.start({ store, site: place.site, ledger, clock: Date.now, writesPerSecond: 400 })
  await sleep(1_000)
  await load.stop()
  const { scope, run } = place.site
  const change = (text: string) =>
    store.database.transaction({ role: 'nomaly_app', scope }, (connection) => connection.query(text))
  await change(`delete from nomaly.settings where name = '${run}/0/3'`)
  await change(
    `update nomaly.settings set value = to_jsonb((value #>> '{}')::int8 + 2) where name = '${run}/1'`,
  )
  await store.metrics.correct(scope, {
    source: place.site.source,
    keys: [{ metric: 'drill', tags: { lane: '1' } }],
    series: Uint32Array.of(0),
    timesMs: Float64Array.of(place.site.originMs + 7),
    values: Float64Array.of(-1),
  })
  const { counters, points } = await accounts(fixture, ledger)
  // The counter of lane 0 is one ahead of its marks now, that of lane 1 two.
  expect(counters).toMatchObject({ missing: 1, missingExamples: ['counters 0/3'], doubled: 3 })
  expect(points).toMatchObject({ missing: 1, missingExamples: ['points 1/0'], torn: 1 })
})

test('a streaming job finds the same through cuts as undisturbed', async () => {
  const { store, proxy, place } = await open()
  const watch = await FindingsWatch.start({ store, ...place, originMs: place.site.originMs - 86_400_000 })
  onTestFinished(() => watch[Symbol.asyncDispose]())
  for (let cuts = 0; cuts < 9; cuts++) {
    await sleep(300)
    proxy.cut()
  }
  await sleep(500)
  const account = await watch.account(20_000)
  expect(account).toMatchObject({ missed: 0, doubled: 0, unfounded: 0 })
  expect(account.expected).toBeGreaterThan(5)

  const { scope } = place.site
  await store.database.transaction({ role: 'nomaly_app', scope }, (connection) =>
    connection.query('delete from nomaly.anomalies where id = (select id from nomaly.anomalies limit 1)'),
  )
  expect(await watch.account(20_000)).toMatchObject({ missed: 1, doubled: 0, unfounded: 0 })
})

test('nothing is left of a drill', async () => {
  const { store, place } = await open()
  const ledger = new WriteLedger()
  const load = DrillLoad.start({ store, site: place.site, ledger, clock: Date.now, writesPerSecond: 100 })
  await sleep(300)
  await load.stop()
  await closeSite(store, place)
  expect((await findCounters(store, place.site)).size).toBe(0)
  expect(await store.read(place.site.scope, 'latest').datasets.find(place.site.run)).toBeUndefined()
})
