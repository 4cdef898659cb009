import { expect, onTestFinished, test } from 'vitest'
import { connectClient } from '../../src/database/connect.ts'
import { withPurpose } from '../../src/database/purpose.ts'
import { presenceKey } from '../../src/jobs/worker-presence.ts'
import type { Notification } from '../../src/notifications/notifier.ts'
import { migrateInstance } from '../../src/operations/open-instance.ts'
import { LOGIN, startPair } from '../database/failover-fixture.ts'
import { eventually, startTestNomaly } from '../support/nomaly.ts'

function lines(fromMinute: number, minutes: number): string {
  return Array.from({ length: minutes }, (_, index) =>
    JSON.stringify({
      time: new Date(1_700_000_000_000 + (fromMinute + index) * 60_000).toISOString(),
      metric: 'orders',
      value: 100 + ((index * 7919) % 13),
    }),
  ).join('\n')
}

test(
  'an installation goes on by itself on the next primary, with all that it has open',
  { timeout: 120_000 },
  async () => {
    const { primary, standby, url, adminUrl } = await startPair()
    // What operators do finds the primary too.
    const again = await migrateInstance({ adminUrl, applicationLogin: LOGIN }, 'partitioned', () => {})
    expect(again.applied).toEqual([])
    const database = {
      adminUrl: primary.adminUrl,
      name: 'postgres',
      drop: async () => {},
      [Symbol.asyncDispose]: async () => {},
    }
    const nomaly = await startTestNomaly({
      on: { database, databaseUrl: url },
      config: { acquireTimeoutMs: 20_000 },
    })
    onTestFinished(() => nomaly[Symbol.asyncDispose]())
    const { store, request } = nomaly
    const send = (fromMinute: number): ReturnType<typeof request> =>
      request('POST', '/v1/datasets/shop/points', {
        body: lines(fromMinute, 100),
        headers: { 'content-type': 'application/x-ndjson' },
      })
    await request('POST', '/v1/datasets', { body: { name: 'shop' } })
    expect((await send(0)).body).toMatchObject({ inserted: 100 })
    const { body: job } = await request('POST', '/v1/jobs', {
      body: { dataset: 'shop', schedule: { kind: 'streaming' } },
    })
    const scanned = async (): Promise<number> => {
      const { body } = await request('GET', `/v1/jobs/${job.id}/runs`)
      return body.items?.[0]?.pointsScanned ?? 0
    }
    await eventually(async () => (await scanned()) === 100)
    const heard: Notification[] = []
    onTestFinished(store.notifier.subscribe((notice) => heard.push(notice)))
    await eventually(async () => {
      const [row] = await standby.ask<{ there: boolean }>(
        'select pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn() as there',
      )
      return row!.there
    })

    await primary.stop()
    await standby.promote()

    // A request that comes now is served, and so is what it sets going: the queue, its listener, the relay.
    await eventually(async () => (await send(100)).status === 200, 30_000)
    await eventually(async () => (await scanned()) === 200, 60_000)
    const admin = await connectClient(standby.adminUrl)
    onTestFinished(() => admin.end())
    await eventually(async () => {
      await admin.query(`select pg_notify('nomaly', 'flags  ')`)
      return heard.some(({ channel }) => channel === 'flags')
    }, 30_000)
    // The worker shows that it lives where others look for it now.
    const { rows } = await admin.query<{ worker: string }>(
      'select worker_id as worker from nomaly.runs limit 1',
    )
    await eventually(async () => {
      const held = await admin.query<{ key: string }>(
        `select ((classid::bigint << 32) | objid::bigint)::text as key from pg_locks where locktype = 'advisory' and granted`,
      )
      return held.rows.some(({ key }) => key === presenceKey(rows[0]!.worker))
    }, 30_000)
    // Who gives up ends the statement there.
    const leaving = new AbortController()
    const startedAt = performance.now()
    const sleeping = withPurpose({ budget: 'web', label: 'a sleeper' }, () =>
      store.database.read({ role: 'nomaly_app', freshness: 'latest', signal: leaving.signal }, (connection) =>
        connection.query('select pg_sleep(20)'),
      ),
    )
    await eventually(
      async () =>
        (
          await admin.query(
            "select from pg_stat_activity where query like 'select pg_sleep(20)%' and state = 'active'",
          )
        ).rowCount === 1,
    )
    leaving.abort(new Error('gone'))
    await expect(sleeping).rejects.toThrow('gone')
    expect(performance.now() - startedAt).toBeLessThan(15_000)
  },
)
