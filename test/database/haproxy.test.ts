import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { connectClient } from '../../src/database/connect.ts'
import { startHaproxy } from '../support/haproxy.ts'
import { eventually } from '../support/nomaly.ts'
import { latest } from './database-fixture.ts'
import { openDatabase, startPair, Writers, written, withTable } from './failover-fixture.ts'

async function isPrimary(url: string): Promise<boolean> {
  const client = await connectClient(url)
  await client.end()
  return true
}

test(
  'behind a HAProxy a failover is followed, and no write that was acknowledged is lost',
  { timeout: 90_000 },
  async () => {
    const { primary, standby, primaryUrl } = await withTable(await startPair())
    const url = await startHaproxy(primaryUrl, [
      { url: primary.adminUrl, isPrimary: () => isPrimary(primary.adminUrl) },
      { url: standby.adminUrl, isPrimary: () => isPrimary(standby.adminUrl) },
    ])
    const writers = new Writers(openDatabase(url))
    await eventually(async () => writers.acknowledged.length > 50)
    await primary.stop()
    await standby.promote()
    const before = writers.acknowledged.length
    await eventually(async () => writers.acknowledged.length > before + 50, 40_000)
    await writers.stop()
    const stored = await written(standby.adminUrl)
    expect(writers.acknowledged.filter((id) => !stored.has(id))).toEqual([])
    // While nobody takes writes the balancer refuses, which is said; what may be sent again is known to be so.
    for (const failure of writers.failures)
      expect(failure).toMatchObject({ code: 'unavailable', retryAfterSeconds: expect.any(Number) })
  },
)

test('a balancer that leads back to an old primary is not followed', { timeout: 90_000 }, async () => {
  const { primary, standby, primaryUrl } = await startPair()
  let isOldBack = false
  const url = await startHaproxy(primaryUrl, [
    {
      url: primary.adminUrl,
      isPrimary: async () => isOldBack || !(await isPrimary(standby.adminUrl).catch(() => false)),
    },
    { url: standby.adminUrl, isPrimary: async () => !isOldBack && (await isPrimary(standby.adminUrl)) },
  ])
  const database = openDatabase(url, { acquireTimeoutMs: 3_000 })
  const port = async (): Promise<number> => {
    const [row] = await database.read(latest, (connection) =>
      connection.query<{ port: number }>("select current_setting('port')::int4 as port"),
    )
    return row!.port
  }
  // Until it has looked at both, the balancer takes either.
  await eventually(async () => (await port().catch(() => 0)) === primary.port)
  await standby.promote()
  await eventually(async () => (await port().catch(() => 0)) === standby.port)
  isOldBack = true
  onTestFinished(() => {
    isOldBack = false
  })
  await eventually(async () =>
    port().then(
      () => false,
      (error: { code: string }) => error.code === 'unavailable',
    ),
  )
  for (let i = 0; i < 5; i++) {
    expect(await port().catch(() => standby.port)).toBe(standby.port)
    await sleep(100)
  }
  isOldBack = false
  await eventually(async () => (await port().catch(() => 0)) === standby.port)
})
