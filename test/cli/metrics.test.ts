import { afterAll, beforeAll, expect, it } from 'vitest'
import { isTimescaleOffered } from '../metrics/timescale-fixture.ts'
import { startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { runCli, type CliResult } from './run-cli.ts'

let nomaly: TestNomaly

beforeAll(async () => {
  nomaly = await startTestNomaly()
  await nomaly.request('POST', '/v1/datasets', { body: { name: 'servers' } })
  await store(200)
})

afterAll(() => nomaly[Symbol.asyncDispose]())

/** Adds a point a minute, up to so many; what is there already stays. */
function store(points: number) {
  const body = Array.from({ length: points }, (_, i) => ({
    time: Date.UTC(2026, 0, 1) + i * 60_000,
    metric: 'cpu',
    value: i,
  }))
  return nomaly.request('POST', '/v1/datasets/servers/points', { body })
}

async function stored(): Promise<unknown> {
  const { body } = await nomaly.request('POST', '/v1/query', {
    body: { dataset: 'servers', from: '2026-01-01', to: '2026-01-02', bucketSeconds: 3600 },
  })
  return body
}

function cli(...args: string[]): Promise<CliResult> {
  return runCli(['metrics', ...args], {
    env: { DATABASE_URL: nomaly.databaseUrl, ADMIN_DATABASE_URL: nomaly.database.adminUrl },
  })
}

it('shows where the points are', async () => {
  const status = await cli('status', '-o', 'json')
  expect(status).toMatchObject({ code: 0, err: '' })
  expect(JSON.parse(status.out)).toMatchObject({ engine: nomaly.store.metrics.name, windows: { total: 0 } })
  expect((await cli('status')).out).toMatch(/^Points are kept in \w+\.\nKept .*\nforever +\d+ /)
})

it('wants to know where to, and says when there is nothing to cancel', async () => {
  for (const args of [[], ['--to', 'timescale', '--cancel']]) {
    const refused = await cli('move', ...args)
    expect(refused.code).toBe(1)
    expect(refused.err).toContain('--to timescale')
  }
  expect(await cli('move', '--cancel')).toMatchObject({ code: 0, out: 'No move is under way.\n' })
  expect((await cli('move', '--to', nomaly.store.metrics.name)).out).toContain('already')
})

it('moves what a running server has there and back, or says what the server lacks', async () => {
  const before = await stored()
  const first = nomaly.store.metrics.name
  const other = first === 'timescale' ? 'partitioned' : 'timescale'
  if (!(await isTimescaleOffered())) {
    const refused = await cli('move', '--to', other)
    expect(refused.code).not.toBe(0)
    expect(refused.err).toMatch(/does not offer the extension timescaledb/)
    expect(await stored()).toEqual(before)
    return
  }
  const there = JSON.parse((await cli('move', '--to', other, '-o', 'json')).out)
  expect(there).toMatchObject({ engine: other, hasMoved: true, repaired: 0, isCleared: true })
  expect(await stored()).toEqual(before)
  expect((await store(210)).body).toMatchObject({ inserted: 10, duplicates: 200 })
  expect(nomaly.store.metrics.name).toBe(other)
  const back = await cli('move', '--to', first)
  expect(back).toMatchObject({ code: 0, err: '' })
  expect(back.out).toMatch(/points are in \w+ now; both copies were the same\.\nWrites waited \d+ ms/)
  expect((await store(210)).body).toMatchObject({ inserted: 0, duplicates: 210 })
  expect((await nomaly.request('GET', '/v1/datasets/servers')).body).toMatchObject({ seriesCount: 1 })
})
