import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { MetricsEngine, PointBatch } from '../../src/metrics/metrics-engine.ts'
import { AppendBuffer, FLUSH_AFTER_MS, FLUSH_POINTS, MAX_FLUSHES } from '../../src/workflows/append-buffer.ts'
import { batch, GatedEngine, HandTimer, type Point, report, single, START } from './append-buffer-fixture.ts'
import { startTestNomaly, type TestNomaly, type TestTenant } from '../support/nomaly.ts'

const RUNS = process.env['NOMALY_TEST_SCENARIOS'] === '1' ? 200 : 25
const REFUSED = 1e200
const MAX_SERIES = 50
let nomaly: TestNomaly
let made = 0
const opened: AppendBuffer[] = []

beforeAll(async () => {
  nomaly = await startTestNomaly({ worker: false, config: { maxSeriesPerDataset: MAX_SERIES } })
})

afterAll(async () => {
  await nomaly[Symbol.asyncDispose]()
})

afterEach(async () => {
  for (const buffer of opened.splice(0)) await buffer[Symbol.asyncDispose]()
})

async function makeDataset(tenant: TestTenant = nomaly.tenant): Promise<string> {
  const { value } = await nomaly.store.transaction(tenant, (unit) =>
    unit.datasets.create({ name: `buffered-${(made += 1)}` }),
  )
  return value.id
}

/** Values by series and second, as they are stored. */
async function stored(id: string, tenant: TestTenant = nomaly.tenant): Promise<Map<string, number>> {
  const { metrics } = nomaly.store
  const series = await metrics.listSeries(tenant, { sourceId: id, limit: 1000 })
  const names = new Map(series.map((one) => [one.id, one.tags['series']!]))
  const all = new Map<string, number>()
  const range = { fromMs: START, toMs: START + 1e9 }
  for await (const { seriesId, timesMs, values } of metrics.scan(tenant, [...names.keys()], range))
    for (const [i, timeMs] of timesMs.entries())
      all.set(`${names.get(seriesId)} ${(timeMs - START) / 1000}`, values[i]!)
  return all
}

function makeBuffer(engine: GatedEngine | MetricsEngine, maxWaitingPoints = 100_000) {
  const timer = new HandTimer()
  const buffer = new AppendBuffer({ engine, maxWaitingPoints, delay: timer.delay })
  opened.push(buffer)
  return { buffer, timer }
}

/** A buffer whose first append to the dataset is held up, so that what comes next waits. */
async function heldUp(id: string, maxWaitingPoints?: number) {
  const engine = new GatedEngine(nomaly.store.metrics)
  const { buffer, timer } = makeBuffer(engine, maxWaitingPoints)
  const first = buffer.append(nomaly.tenant, single(id, 0))
  await Promise.resolve()
  return { engine, buffer, timer, first }
}

test('each of many overlapping appends is told exactly what became of its own points', async () => {
  const request = fc.uniqueArray(
    fc.record({
      series: fc.constantFrom('a', 'b'),
      second: fc.integer({ min: 0, max: 30 }),
      /** Of everybody, of this append only, or one that is refused. */
      kind: fc.constantFrom('shared', 'shared', 'own', 'refused'),
    }),
    { maxLength: 8, selector: ({ series, second }) => `${series} ${second}` },
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(request, { minLength: 1, maxLength: 40 }),
      fc.array(fc.nat({ max: 3 }), { minLength: 40, maxLength: 40 }),
      async (requests, pauses) => {
        const id = await makeDataset()
        const buffer = new AppendBuffer({ engine: nomaly.store.metrics, maxWaitingPoints: 100_000 })
        const valueOf = { shared: () => 7, own: (at: number) => 1000 + at, refused: () => REFUSED }
        const sent = requests.map((points, at) => points.map((p) => ({ ...p, value: valueOf[p.kind](at) })))
        const reports = await Promise.all(
          sent.map(async (points, at) => {
            for (let turn = 0; turn < pauses[at]!; turn++) await new Promise(setImmediate)
            return (await buffer.append(nomaly.tenant, batch(id, points))).value
          }),
        )
        await buffer[Symbol.asyncDispose]()
        const rows = await stored(id)
        expect(reports.reduce((sum, { inserted }) => sum + inserted, 0)).toBe(rows.size)
        for (const [at, points] of sent.entries()) {
          const { inserted, duplicates, conflicting, rejected, rejectedTotal } = reports[at]!
          const sound = points.filter(({ value }) => value !== REFUSED)
          const standing = (p: Point): number | undefined => rows.get(`${p.series} ${p.second}`)
          expect(rejected.map(({ index }) => index)).toEqual(
            [...points.entries()].flatMap(([index, { value }]) => (value === REFUSED ? [index] : [])),
          )
          expect(rejectedTotal).toBe(points.length - sound.length)
          expect(conflicting).toBe(sound.filter((p) => standing(p) !== p.value).length)
          expect(inserted + duplicates).toBe(sound.length - conflicting)
          // Nobody else can have written a value of its own.
          const own = sound.filter((p) => p.value >= 1000 && standing(p) === p.value).length
          expect(inserted).toBeGreaterThanOrEqual(own)
        }
      },
    ),
    { seed: 1, numRuns: RUNS },
  )
})

test('a bad neighbour fails alone, and is told why', async () => {
  const id = await makeDataset()
  const { engine, buffer, first } = await heldUp(id)
  const gone = new AbortController()
  const explosion = Array.from({ length: MAX_SERIES + 1 }, (_, i) => ({
    series: `s${i}`,
    second: 1,
    value: 1,
  }))
  const good = Array.from({ length: 12 }, (_, i) => buffer.append(nomaly.tenant, single(id, 10 + i)))
  const refused = buffer.append(
    nomaly.tenant,
    batch(id, [
      { second: 30, value: 1 },
      { second: 31, value: REFUSED },
    ]),
  )
  const exploding = buffer.append(nomaly.tenant, batch(id, explosion))
  const repeated = buffer.append(nomaly.tenant, single(id, 0))
  const conflicting = buffer.append(nomaly.tenant, single(id, 10, 2))
  const abandoned = buffer.append(nomaly.tenant, single(id, 40), gone.signal)
  gone.abort(new Error('the caller went away'))
  await expect(abandoned).rejects.toThrow('the caller went away')
  const outcomes = Promise.allSettled([exploding])
  engine.open()
  expect(await first).toMatchObject(report({ inserted: 1 }))
  for (const one of good) expect(await one).toMatchObject(report({ inserted: 1 }))
  expect(await refused).toMatchObject(
    report({
      inserted: 1,
      rejected: [{ index: 1, reason: expect.stringContaining('beyond') as string }],
      rejectedTotal: 1,
    }),
  )
  expect(await repeated).toMatchObject(report({ duplicates: 1 }))
  expect(await conflicting).toMatchObject(report({ conflicting: 1 }))
  expect(await outcomes).toMatchObject([{ status: 'rejected', reason: { code: 'too_large' } }])
  expect([...(await stored(id)).keys()].toSorted()).toEqual(
    [0, 30, ...good.keys().map((i) => 10 + i)].map((second) => `only ${second}`).toSorted(),
  )
})

test('of one caller who goes away while the batch is stored nothing is held against the others', async () => {
  const id = await makeDataset()
  const { engine, buffer, timer, first } = await heldUp(id)
  const gone = new AbortController()
  const all = [
    buffer.append(nomaly.tenant, single(id, 1), gone.signal),
    buffer.append(nomaly.tenant, single(id, 2)),
  ]
  timer.goOff()
  gone.abort()
  engine.open()
  await first
  for (const one of all) expect(await one).toMatchObject(report({ inserted: 1 }))
})

test('a dataset that is deleted fails those who write to it, and nobody else', async () => {
  const [id, deleted] = [await makeDataset(), await makeDataset()]
  const engine = new GatedEngine(nomaly.store.metrics)
  const { buffer } = makeBuffer(engine)
  const lost = [1, 2, 3].map((second) => buffer.append(nomaly.tenant, single(deleted, second)))
  const kept = [1, 2, 3].map((second) => buffer.append(nomaly.tenant, single(id, second)))
  const outcomes = Promise.allSettled(lost)
  expect((await nomaly.request('DELETE', `/v1/datasets/${deleted}`)).status).toBe(204)
  engine.open()
  for (const one of kept) expect(await one).toMatchObject(report({ inserted: 1 }))
  for (const outcome of await outcomes)
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'not_found' } })
})

test('points of two tenants or two datasets never share a batch', async () => {
  const other = await nomaly.createTenant('other')
  const places = [
    { tenant: nomaly.tenant, id: await makeDataset() },
    { tenant: nomaly.tenant, id: await makeDataset() },
    { tenant: other, id: await makeDataset(other) },
  ]
  const engine = new GatedEngine(nomaly.store.metrics)
  const { buffer } = makeBuffer(engine)
  const all = [0, 1, 2].flatMap((second) =>
    places.map(({ tenant, id }) => buffer.append(tenant, single(id, second))),
  )
  // One of another's dataset has nothing to stand on.
  const stolen = buffer.append(other, single(places[0]!.id, 9)).catch((error: unknown) => error)
  engine.open()
  for (const one of all) expect(await one).toMatchObject(report({ inserted: 1 }))
  expect(await stolen).toMatchObject({ code: 'not_found' })
  for (const { tenant, id } of places) expect((await stored(id, tenant)).size).toBe(3)
  expect(engine.calls.toSorted((a, b) => a.points - b.points)).toEqual([
    ...Array.from({ length: 4 }, () => ({ how: 'append', points: 1 })),
    ...places.map(() => ({ how: 'appendFresh', points: 2 })),
  ])
})

test('a lone writer never waits, and needs no timer', async () => {
  const id = await makeDataset()
  const { buffer, timer } = makeBuffer(nomaly.store.metrics)
  for (let second = 0; second < 5; second++) {
    const written = buffer.append(nomaly.tenant, single(id, second))
    expect(timer.pending.size).toBe(0)
    expect(await written).toMatchObject(report({ inserted: 1 }))
  }
})

test('what waits goes when the append before it has ended', async () => {
  const id = await makeDataset()
  const { engine, buffer, timer, first } = await heldUp(id)
  const waiting = [1, 2, 3].map((second) => buffer.append(nomaly.tenant, single(id, second)))
  expect(buffer.waitingPoints).toBe(3)
  expect([...timer.pending.values()]).toEqual([FLUSH_AFTER_MS])
  engine.open()
  await Promise.all([first, ...waiting])
  expect(engine.calls).toEqual([
    { how: 'append', points: 1 },
    { how: 'appendFresh', points: 3 },
  ])
  expect(timer.pending.size).toBe(0)
})

test('what waits goes when the time is over, as far as transactions are left', async () => {
  const id = await makeDataset()
  const { engine, buffer, timer, first } = await heldUp(id)
  const waiting: Promise<unknown>[] = [first]
  for (let round = 1; round <= MAX_FLUSHES + 1; round++) {
    for (const i of [0, 1]) waiting.push(buffer.append(nomaly.tenant, single(id, round * 2 + i)))
    timer.goOff()
  }
  await Promise.resolve()
  expect(engine.calls.length).toBe(MAX_FLUSHES)
  // Those of the last two rounds.
  expect(buffer.waitingPoints).toBe(4)
  engine.open()
  await Promise.all(waiting)
  expect((await stored(id)).size).toBe(waiting.length)
})

test('what waits goes when it is as much as a batch holds; who brings as much by himself does not wait', async () => {
  const id = await makeDataset()
  const { engine, buffer, timer, first } = await heldUp(id)
  const seconds = (from: number, count: number): Point[] =>
    Array.from({ length: count }, (_, i) => ({ second: from + i, value: 1 }))
  const columns = (from: number, count: number): PointBatch => {
    const whole = batch(id, seconds(from, count))
    return { ...whole, keys: whole.keys.slice(0, 1), series: new Uint32Array(count) }
  }
  const half = FLUSH_POINTS / 2
  const waiting = [buffer.append(nomaly.tenant, columns(1, half))]
  expect(engine.calls.length).toBe(1)
  waiting.push(buffer.append(nomaly.tenant, columns(1 + half, half)))
  expect(engine.calls.at(-1)).toEqual({ how: 'appendFresh', points: FLUSH_POINTS })
  expect(timer.pending.size).toBe(0)
  waiting.push(buffer.append(nomaly.tenant, columns(100_000, FLUSH_POINTS)))
  expect(engine.calls.at(-1)).toEqual({ how: 'append', points: FLUSH_POINTS })
  engine.open()
  await Promise.all([first, ...waiting])
  expect((await stored(id)).size).toBe(1 + 2 * FLUSH_POINTS)
})

test('beyond the limit an append is refused whole, and everything that was taken is stored', async () => {
  const id = await makeDataset()
  const { engine, buffer, first } = await heldUp(id, 10)
  const points = (from: number, count: number): PointBatch =>
    batch(
      id,
      Array.from({ length: count }, (_, i) => ({ second: from + i, value: 1 })),
    )
  const taken = [buffer.append(nomaly.tenant, points(1, 4)), buffer.append(nomaly.tenant, points(5, 4))]
  const refused = buffer.append(nomaly.tenant, points(20, 4))
  await expect(refused).rejects.toMatchObject({ code: 'overloaded', httpStatus: 503, retryAfterSeconds: 1 })
  // There is room for two more.
  taken.push(buffer.append(nomaly.tenant, points(9, 2)))
  engine.open()
  await Promise.all([first, ...taken])
  expect((await stored(id)).size).toBe(11)
  // The limit is about what waits now.
  expect(await buffer.append(nomaly.tenant, points(20, 20))).toMatchObject(report({ inserted: 20 }))
})

test('when it is closed everything that waits is stored first, and no timer is left', async () => {
  const id = await makeDataset()
  const { engine, buffer, timer, first } = await heldUp(id)
  const waiting = [1, 2, 3].map((second) => buffer.append(nomaly.tenant, single(id, second)))
  setImmediate(() => engine.open())
  await buffer[Symbol.asyncDispose]()
  expect(timer.pending.size).toBe(0)
  expect((await stored(id)).size).toBe(4)
  for (const one of [first, ...waiting]) expect(await one).toMatchObject(report({ inserted: 1 }))
})
