import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { recoverBackfills, runBackfill } from '../../src/workflows/run-backfill.ts'
import { eventually, startTestNomaly, type TestNomaly } from '../support/nomaly.ts'

const HOUR_MS = 3_600_000
const START = Date.UTC(2025, 5, 1)
const ndjson = { 'content-type': 'application/x-ndjson' }

/** No worker: what one would do is called here, one step after another. */
let nomaly: TestNomaly
let admin: pg.Client

const points = (count: number, from = START): string =>
  Array.from(
    { length: count },
    (_, at) => `{"time":${from + at * HOUR_MS},"metric":"cpu","value":${at}}\n`,
  ).join('')

async function begin(dataset: string, bodies: readonly string[]): Promise<string> {
  await nomaly.request('POST', '/v1/datasets', { body: { name: dataset } })
  const path = `/v1/datasets/${dataset}/backfills`
  const { status, body } = await nomaly.request('POST', path)
  expect(status).toBe(201)
  for (const [index, part] of bodies.entries()) {
    const answer = await nomaly.request('PUT', `${path}/${body.id}/parts/${index + 1}`, {
      body: part,
      headers: ndjson,
    })
    expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  }
  return body.id
}

const finish = (dataset: string, id: string, parts: number) =>
  nomaly.request('POST', `/v1/datasets/${dataset}/backfills/${id}/finish`, { body: { parts } })

const show = async (dataset: string, id: string) =>
  (await nomaly.request('GET', `/v1/datasets/${dataset}/backfills/${id}`)).body

const run = (id: string) =>
  runBackfill({
    store: nomaly.store,
    scope: { tenantId: nomaly.tenant.tenantId },
    backfillId: id,
    signal: new AbortController().signal,
  })

/** Tables of points that wait. */
const tables = async (): Promise<string[]> => {
  const { rows } = await admin.query<{ name: string }>(
    `select relname as name from pg_class where relname ~ '^backfill_points_[0-9]+$' order by 1`,
  )
  return rows.map(({ name }) => name)
}

beforeAll(async () => {
  nomaly = await startTestNomaly({ worker: false })
  admin = new pg.Client({ connectionString: nomaly.database.adminUrl })
  await admin.connect()
})

afterAll(async () => {
  await admin.end()
  await nomaly[Symbol.asyncDispose]()
})

describe('a backfill', () => {
  test('shows how far it is, and its points as they are merged', async () => {
    const id = await begin('shown', [points(48), `${points(48)}nonsense\n`, points(24, START + 48 * HOUR_MS)])
    expect(await show('shown', id)).toMatchObject({
      status: 'receiving',
      parts: { done: 3, total: null },
      points: 120,
      rejectedTotal: 1,
      windows: { done: 0, total: null },
    })
    const parts = await nomaly.request('GET', `/v1/datasets/shown/backfills/${id}/parts?limit=2`)
    expect(parts.body.items).toMatchObject([
      { number: 1, points: 48, rejected: [] },
      { number: 2, points: 48, rejected: [{ line: 49 }] },
    ])
    const rest = await nomaly.request(
      'GET',
      `/v1/datasets/shown/backfills/${id}/parts?cursor=${parts.body.nextCursor}`,
    )
    expect(rest.body).toMatchObject({ items: [{ number: 3 }], nextCursor: null })
    expect((await finish('shown', id, 3)).body).toMatchObject({
      status: 'merging',
      parts: { done: 3, total: 3 },
    })
    await run(id)
    expect(await show('shown', id)).toMatchObject({
      status: 'completed',
      windows: { done: 1, total: 1 },
      inserted: 72,
      duplicates: 48,
      conflicting: 0,
      expired: 0,
      error: null,
    })
    const { body } = await nomaly.request('GET', '/v1/datasets/shown')
    expect(body.latestAt).toBe(new Date(START + 71 * HOUR_MS).toISOString())
    const audit = (await nomaly.request('GET', '/v1/audit')).body.items
    expect(audit.map(({ action }: { action: string }) => action)).toEqual(
      expect.arrayContaining(['backfill.create', 'backfill.finish']),
    )
  })

  test('is found by a worker where its task was lost, and only then', async () => {
    const id = await begin('lost', [points(5)])
    await nomaly.store.backfills.finish({ tenantId: nomaly.tenant.tenantId }, id, 1)
    expect(await recoverBackfills(nomaly.store)).toBe(1)
    expect(await recoverBackfills(nomaly.store)).toBe(0)
    await run(id)
    expect(await show('lost', id)).toMatchObject({ status: 'completed', inserted: 5 })
  })

  test('leaves nothing where its dataset is deleted meanwhile', async () => {
    const before = await tables()
    const [receiving, merging] = [await begin('gone', [points(5)]), await begin('gone', [points(5)])]
    await finish('gone', merging, 1)
    expect(await tables()).toHaveLength(before.length + 2)
    const { body: dataset } = await nomaly.request('GET', '/v1/datasets/gone')
    await nomaly.request('DELETE', '/v1/datasets/gone')
    const part = await nomaly.request('PUT', `/v1/datasets/${dataset.id}/backfills/${receiving}/parts/2`, {
      body: points(5),
      headers: ndjson,
    })
    expect(part.status).toBe(404)
    // Its turn comes before that of the removal.
    await run(merging)
    const scope = { tenantId: nomaly.tenant.tenantId }
    expect(await nomaly.store.backfills.get(scope, merging)).toMatchObject({
      status: 'cancelled',
      inserted: 0,
    })
    await nomaly.store.metrics.dropSource(scope, dataset.id)
    for (const id of [receiving, merging])
      await expect(nomaly.store.backfills.get(scope, id)).rejects.toMatchObject({ code: 'not_found' })
    // A task that was still waiting finds nothing to do.
    await run(merging)
    expect(await tables()).toEqual(before)
    const { rows } = await admin.query('select from metrics.backfill_parts where backfill_id = any($1)', [
      [receiving, merging],
    ])
    expect(rows).toEqual([])
  })

  test('says why it failed, keeps its points, and goes on when it is finished again', async () => {
    const id = await begin('failing', [points(5)])
    await finish('failing', id, 1)
    const [table] = (await tables()).slice(-1)
    await admin.query(`revoke all on metrics.${table} from nomaly_system`)
    for (let failure = 1; failure < 5; failure++) await expect(run(id)).rejects.toThrow()
    expect(await show('failing', id)).toMatchObject({
      status: 'merging',
      error: { message: expect.any(String) },
    })
    await run(id)
    expect(await show('failing', id)).toMatchObject({
      status: 'failed',
      error: { message: expect.any(String), hint: expect.any(String) },
    })
    expect(await tables()).toContain(table)
    await admin.query(`grant select, insert on metrics.${table} to nomaly_system`)
    expect((await finish('failing', id, 2)).status).toBe(409)
    expect((await finish('failing', id, 1)).body).toMatchObject({ status: 'merging', error: null })
    await run(id)
    expect(await show('failing', id)).toMatchObject({ status: 'completed', inserted: 5, error: null })
  })

  test('can be cancelled until it is completed, and is when nobody goes on with it', async () => {
    const before = await tables()
    const path = '/v1/datasets/stopped/backfills'
    const id = await begin('stopped', [points(5)])
    expect((await nomaly.request('DELETE', `${path}/${id}`)).status).toBe(204)
    expect((await nomaly.request('DELETE', `${path}/${id}`)).status).toBe(204)
    expect(await show('stopped', id)).toMatchObject({ status: 'cancelled' })
    expect((await finish('stopped', id, 1)).status).toBe(409)
    const idle = await begin('stopped', [points(5)])
    const days = (count: number) => new Date(Date.now() + count * 24 * HOUR_MS)
    expect(await nomaly.store.backfills.prune(days(6))).toBe(0)
    expect(await nomaly.store.backfills.prune(days(8))).toBe(1)
    expect(await show('stopped', idle)).toMatchObject({
      status: 'cancelled',
      error: { message: expect.stringContaining('7 days') },
    })
    expect(await tables()).toEqual(before)
    await nomaly.store.backfills.prune(days(40))
    expect((await nomaly.request('GET', `${path}/${idle}`)).status).toBe(404)
  })

  test('counts what retention has passed while it waited, and stores none of it', async () => {
    await nomaly.request('POST', '/v1/datasets', { body: { name: 'week', retention: 'week' } })
    const from = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 7 * 24 * HOUR_MS + HOUR_MS
    const id = await begin('week', [points(100, from)])
    await finish('week', id, 1)
    // Ten hours go by.
    const { number } = (await admin.query('select number from metrics.backfills where id = $1', [id])).rows[0]
    await admin.query(`update metrics.backfill_points_${number} set time = time - interval '10 hours'`)
    await run(id)
    expect(await show('week', id)).toMatchObject({ status: 'completed', inserted: 90, expired: 10 })
  })

  test('is limited in number for each tenant, but not by those that have ended', async () => {
    const other = await nomaly.createTenant('many')
    await nomaly.request('POST', '/v1/datasets', { key: other.key, body: { name: 'many' } })
    const create = () => nomaly.request('POST', '/v1/datasets/many/backfills', { key: other.key })
    const made = await Promise.all(Array.from({ length: 25 }, create))
    expect(made.filter(({ status }) => status === 201)).toHaveLength(20)
    const [first] = made.filter(({ status }) => status === 201)
    await nomaly.request('DELETE', `/v1/datasets/many/backfills/${first!.body.id}`, { key: other.key })
    expect((await create()).status).toBe(201)
  })

  test('is nothing that the application could read by itself', async () => {
    await begin('hidden', [points(1)])
    const [table] = (await tables()).slice(-1)
    const { rows } = await admin.query(
      `select has_table_privilege('nomaly_app', 'metrics.${table}', 'select, insert, update, delete, truncate') as allowed,
         has_function_privilege('nomaly_app', 'metrics.drop_backfill_points(bigint)', 'execute') as may_drop`,
    )
    expect(rows).toEqual([{ allowed: false, may_drop: false }])
  })
})

test('a worker merges what is finished', async () => {
  await using beside = await startTestNomaly({ beside: nomaly })
  const id = await begin('worked', [points(500), points(600)])
  await finish('worked', id, 2)
  await eventually(async () => (await show('worked', id)).status === 'completed')
  expect(await show('worked', id)).toMatchObject({ inserted: 600, duplicates: 500 })
  expect(beside.url).not.toBe(nomaly.url)
})
