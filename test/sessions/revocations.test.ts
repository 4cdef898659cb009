import { expect, onTestFinished, test } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { Revocations } from '../../src/sessions/revocations.ts'
import { REVOCATION_BOUND_MS, type Session } from '../../src/sessions/session-store.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { openSessionsFixture, type SessionsFixture } from './sessions-fixture.ts'

const open = (): Promise<SessionsFixture> => openSessionsFixture(async () => undefined)

/** Revocations that hear of nothing by a notice, on a clock that the test sets. */
function deaf(url: string): { revocations: Revocations; pass: (ms: number) => void } {
  const database = new Database({
    url,
    applicationName: 'revocations test',
    maxConnections: 4,
    acquireTimeoutMs: 2_000,
    statementTimeoutMs: 5_000,
    commitTimeoutMs: 5_000,
    log: () => {},
  })
  onTestFinished(() => database[Symbol.asyncDispose]())
  let nowMs = 0
  return {
    revocations: new Revocations(
      database,
      () => {},
      () => nowMs,
    ),
    pass: (ms) => (nowMs += ms),
  }
}

async function sessionOf(fixture: SessionsFixture, keyId?: string): Promise<Session> {
  const sessions = await fixture.open()
  return (await sessions.authenticate(await fixture.signIn(sessions, { keyId })))!.identity.session
}

const end = (
  { admin }: SessionsFixture,
  tenantId: string,
  kind: string,
  subject?: string,
): Promise<unknown> => admin('select nomaly.end_sessions($1, $2, $3)', [tenantId, kind, subject ?? null])

test('are known within the bound although no notice comes', async () => {
  const fixture = await open()
  const { revocations, pass } = deaf(fixture.databaseUrl)
  const session = await sessionOf(fixture)
  expect(await revocations.cover(session)).toBe(false)
  await end(fixture, fixture.tenantId, 'session', session.id)
  pass(REVOCATION_BOUND_MS + 1)
  expect(await revocations.cover(session)).toBe(true)
})

test('end what began before them and nothing else', async () => {
  const fixture = await open()
  const { revocations } = deaf(fixture.databaseUrl)
  const [keyId, other] = fixture.keys
  const ofKey = await sessionOf(fixture, keyId)
  const ofOther = await sessionOf(fixture, other)
  const ofLink = await sessionOf(fixture)
  const covered = async (): Promise<boolean[]> => {
    await revocations.renew()
    return Promise.all(
      [ofKey, ofOther, ofLink, await sessionOf(fixture, keyId)].map((one) => revocations.cover(one)),
    )
  }
  await end(fixture, fixture.other.tenantId, 'tenant')
  await end(fixture, fixture.other.tenantId, 'key')
  expect(await covered()).toEqual([false, false, false, false])
  await end(fixture, fixture.tenantId, 'key', keyId)
  expect(await covered()).toEqual([true, false, false, false])
  await end(fixture, fixture.tenantId, 'key')
  expect(await covered()).toEqual([true, false, true, false])
  await end(fixture, fixture.tenantId, 'tenant')
  expect(await covered()).toEqual([true, true, true, false])
})

test('commit in the order of their numbers, so that none is missed by who has read a later one', async () => {
  const fixture = await open()
  const { revocations } = deaf(fixture.databaseUrl)
  const all = await Promise.all(Array.from({ length: 5 }, () => sessionOf(fixture, fixture.keys[0])))
  let isOver = false
  const reading = (async (): Promise<void> => {
    while (!isOver) await revocations.renew()
  })()
  await Promise.all(
    all.map((session, index) =>
      fixture.database.transaction({ role: 'nomaly_system' }, async (connection) => {
        await connection.query('select nomaly.end_sessions($1, $2, $3)', [
          fixture.tenantId,
          'session',
          session.id,
        ])
        // Those that began later would be done sooner, were there no order.
        await connection.query('select pg_sleep($1)', [(5 - index) / 50])
      }),
    ),
  )
  isOver = true
  await reading
  await revocations.renew()
  for (const session of all) expect(await revocations.cover(session)).toBe(true)
})

test('are read anew, whole, from a database that is not the one it was', async () => {
  const fixture = await open()
  const { revocations } = deaf(fixture.databaseUrl)
  const [one, two] = [await sessionOf(fixture), await sessionOf(fixture, fixture.keys[0])]
  await end(fixture, fixture.tenantId, 'session', one.id)
  await revocations.renew()
  expect([await revocations.cover(one), await revocations.cover(two)]).toEqual([true, false])
  // As after a restore: the newest one that is known is gone, and its number another's, below those that would be read next.
  await fixture.admin('update nomaly.session_revocations set number = $1, subject = $2', [
    two.number + 1,
    two.id,
  ])
  await revocations.renew()
  expect([await revocations.cover(one), await revocations.cover(two)]).toEqual([false, true])
})

test('are kept as long as what they end could be alive, and then removed', async () => {
  const fixture = await open()
  const sessions = await fixture.open()
  const session = await sessionOf(fixture)
  await end(fixture, fixture.tenantId, 'session', session.id)
  await end(fixture, fixture.tenantId, 'key')
  const kept = async (): Promise<number[]> =>
    (
      await fixture.admin<{ until: Date }>(
        'select kept_until as until from nomaly.session_revocations order by number',
      )
    ).map(({ until }) => until.getTime())
  const [ofSession, ofKey] = await kept()
  expect(ofSession).toBeGreaterThan(session.expiresAtMs)
  expect(ofKey).toBeGreaterThan(Date.now() + 366 * 86_400_000)
  await sessions.prune()
  expect(await kept()).toHaveLength(2)
  await fixture.admin(
    `update nomaly.session_revocations set kept_until = now() - interval '1 second' where kind = 'key'`,
  )
  await sessions.prune()
  expect(await kept()).toEqual([ofSession])
})

test('accept nothing on old knowledge while PostgreSQL does not answer', async () => {
  const fixture = await open()
  await using proxy = await TcpProxy.to(fixture.databaseUrl)
  const { revocations, pass } = deaf(proxy.url(fixture.databaseUrl))
  const session = await sessionOf(fixture)
  // One that has never read anything does not begin with a yes.
  proxy.goAway()
  await expect(revocations.cover(session)).rejects.toMatchObject({ code: 'unavailable' })
  proxy.comeBack()
  expect(await revocations.cover(session)).toBe(false)
  proxy.goAway()
  pass(REVOCATION_BOUND_MS)
  expect(await revocations.cover(session)).toBe(false)
  pass(1)
  await expect(revocations.cover(session)).rejects.toMatchObject({ code: 'unavailable' })
  proxy.comeBack()
  expect(await revocations.cover(session)).toBe(false)
  revocations.distrust()
  proxy.goAway()
  await expect(revocations.cover(session)).rejects.toMatchObject({ code: 'unavailable' })
})
