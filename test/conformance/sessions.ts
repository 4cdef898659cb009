import { describe, expect, test, vi } from 'vitest'
import type { Sessions } from '../../src/sessions/sessions.ts'
import type { QuickTier } from '../../src/store/open-quick-tier.ts'
import { ask, openSessionsFixture, type SessionsFixture } from '../sessions/sessions-fixture.ts'

const MINUTE = 60_000
const PATIENCE = { timeout: 10_000, interval: 20 }
const isIn = async (sessions: Sessions, secret: string): Promise<boolean> =>
  (await sessions.authenticate(secret)) !== undefined
const end = { kind: 'session', actor: 'test', reason: 'test' } as const

/** What sessions do, whatever keeps their copies. `openTier` opens what is beside PostgreSQL, for one process. */
export function describeSessions(
  storeName: Sessions['storeName'],
  openTier: (prefix: string) => Promise<QuickTier | undefined>,
): void {
  const openFixture = (changes?: Parameters<typeof openSessionsFixture>[1]): Promise<SessionsFixture> =>
    openSessionsFixture(openTier, changes)
  const idOf = async (sessions: Sessions, secret: string): Promise<string> =>
    (await sessions.authenticate(secret))!.identity.session.id
  const endings = async ({ admin }: SessionsFixture): Promise<string[]> =>
    (
      await admin<{ reason: string }>(
        `select detail ->> 'reason' as reason from nomaly.audit_log where action = 'session.end' order by id`,
      )
    ).map(({ reason }) => reason)

  describe(`sessions in ${storeName}`, () => {
    test('begin with a link, which works once, and are known to every process', async () => {
      const fixture = await openFixture()
      const [here, there] = [await fixture.open(), await fixture.open()]
      expect(here.storeName).toBe(storeName)
      const secret = await fixture.signIn(here, { keyId: fixture.keys[0] })
      for (const sessions of [here, there])
        expect((await sessions.authenticate(secret))?.identity).toMatchObject({
          scope: { tenantId: fixture.tenantId },
          tenantName: 'tenant',
          role: 'admin',
          actor: 'browser',
          via: 'browser',
          keyId: fixture.keys[0],
        })
      for (const wrong of ['', 'session_x', `session_${'x'.repeat(43)}`, secret.toUpperCase(), `${secret} `])
        expect(await isIn(there, wrong), wrong).toBe(false)
      await expect(here.signIn(`link_${'x'.repeat(43)}`, { userAgent: undefined })).rejects.toMatchObject({
        code: 'unauthenticated',
      })
    })

    test('end with their lifetime, however much they are used, and when they are not used', async () => {
      const fixture = await openFixture({ sessionHours: 24, sessionIdleMinutes: 60 })
      const [here, there] = [await fixture.open(), await fixture.open()]
      let used = await fixture.signIn(here)
      const unused = await fixture.signIn(here)
      expect(await isIn(there, unused)).toBe(true)
      for (let minutes = 0; minutes < 24 * 60 - 20; minutes += 20) {
        const { found, next } = await ask(minutes % 40 === 0 ? here : there, used)
        expect(found, `after ${minutes} minutes`).toBeDefined()
        used = next ?? used
        if (minutes === 80)
          for (const sessions of [here, there]) expect(await isIn(sessions, unused)).toBe(false)
        // The use is noted beside the request, and must be before the clock moves on.
        await vi.waitFor(async () => {
          const rows = await fixture.admin<{ at: Date }>(
            'select last_seen_at as at from nomaly.sessions order by number',
          )
          expect(rows[0]!.at.getTime()).toBe(fixture.clock.nowMs)
        }, PATIENCE)
        fixture.clock.pass(20 * MINUTE)
      }
      fixture.clock.pass(21 * MINUTE)
      for (const sessions of [here, there]) expect(await isIn(sessions, used)).toBe(false)
      await here.prune()
      expect(await fixture.admin('select from nomaly.sessions')).toHaveLength(0)
    })

    test('get a new secret after a while; the former one is good for those on their way, and then is theft', async () => {
      const fixture = await openFixture()
      const [here, there] = [await fixture.open(), await fixture.open()]
      const first = await fixture.signIn(here)
      expect((await ask(here, first)).next).toBeUndefined()
      fixture.clock.pass(15 * MINUTE)
      // Requests of the same moment, on both: one of them brings the new secret.
      const answers = await Promise.all([here, there, here, there].map((sessions) => ask(sessions, first)))
      expect(answers.every(({ found }) => found !== undefined)).toBe(true)
      const given = answers.flatMap(({ next }) => next ?? [])
      expect(given).toHaveLength(1)
      const second = given[0]!
      for (const sessions of [here, there]) expect(await isIn(sessions, second)).toBe(true)
      fixture.clock.pass(59_000)
      for (const sessions of [here, there]) {
        const { found, next } = await ask(sessions, first)
        expect([found !== undefined, next]).toEqual([true, undefined])
      }
      fixture.clock.pass(10_000)
      expect(await isIn(there, first)).toBe(false)
      expect(await isIn(there, second)).toBe(false)
      await vi.waitFor(async () => expect(await isIn(here, second)).toBe(false), PATIENCE)
      expect(await endings(fixture)).toEqual([expect.stringContaining('a former secret was used')])
    })

    test('go on with the former secret where the new one never arrived; whoever has that one ends the session', async () => {
      const fixture = await openFixture()
      const here = await fixture.open()
      const first = await fixture.signIn(here)
      fixture.clock.pass(15 * MINUTE)
      const lost = (await ask(here, first)).next!
      expect(lost).toBeDefined()
      fixture.clock.pass(10 * MINUTE)
      const { found, next } = await ask(here, first)
      expect(found).toBeDefined()
      expect(next).toBeDefined()
      expect(await isIn(here, next!)).toBe(true)
      expect(await isIn(here, lost)).toBe(false)
      expect(await isIn(here, next!)).toBe(false)
      expect(await endings(fixture)).toHaveLength(1)
    })

    test('are at most five of a key: one more ends the oldest, and none of another key', async () => {
      const fixture = await openFixture()
      const [here, there] = [await fixture.open(), await fixture.open()]
      const [keyId, otherKey] = fixture.keys
      const apart = [
        await fixture.signIn(here, { keyId: otherKey }),
        await fixture.signIn(here),
        await fixture.signIn(here, fixture.other),
      ]
      const secrets: string[] = []
      for (let count = 0; count < 5; count++) secrets.push(await fixture.signIn(here, { keyId }))
      for (const secret of secrets) expect(await isIn(there, secret)).toBe(true)
      secrets.push(await fixture.signIn(here, { keyId }))
      expect(await isIn(here, secrets[0]!)).toBe(false)
      await vi.waitFor(async () => expect(await isIn(there, secrets[0]!)).toBe(false), PATIENCE)
      for (const secret of [...secrets.slice(1), ...apart]) expect(await isIn(there, secret)).toBe(true)
      expect(await endings(fixture)).toEqual(['too many'])
      // Many at the same moment are counted as well.
      await Promise.all(
        Array.from({ length: 8 }, (_, index) => fixture.signIn(index % 2 ? here : there, { keyId })),
      )
      expect((await here.list(fixture, { keyId }, { limit: 50 })).items).toHaveLength(5)
      // A browser that signs in again takes nobody's place.
      const left = (await here.list(fixture, { keyId: otherKey }, { limit: 50 })).items
      await fixture.signIn(here, { keyId: otherKey, former: apart[0]! })
      expect(left).toHaveLength(1)
      expect((await here.list(fixture, { keyId: otherKey }, { limit: 50 })).items).toHaveLength(1)
      expect(await isIn(here, apart[0]!)).toBe(false)
    })

    test('are listed by key or tenant, with what they are recognised by', async () => {
      const fixture = await openFixture()
      const here = await fixture.open()
      const [keyId] = fixture.keys
      const userAgent = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'
      const secrets = [
        await fixture.signIn(here, { keyId, userAgent }),
        await fixture.signIn(here),
        await fixture.signIn(here, { keyId }),
      ]
      await fixture.signIn(here, fixture.other)
      const ids = await Promise.all(secrets.map((secret) => idOf(here, secret)))
      const mine = await here.list(fixture, { keyId }, { limit: 50 })
      expect(mine.items.map(({ id }) => id)).toEqual([ids[2], ids[0]])
      expect(mine.items[1]).toMatchObject({ device: 'Firefox on Linux', keyName: 'one', role: 'admin' })
      expect((await here.list(fixture, { keyId: null }, { limit: 50 })).items.map(({ id }) => id)).toEqual([
        ids[1],
      ])
      const page = await here.list(fixture, 'tenant', { limit: 2 })
      const rest = await here.list(fixture, 'tenant', { limit: 2, cursor: page.nextCursor! })
      expect([...page.items, ...rest.items].map(({ id }) => id)).toEqual([ids[2], ids[1], ids[0]])
      expect(rest.nextCursor).toBeNull()
    })

    test('that are ended are over at once here, and soon everywhere', async () => {
      const fixture = await openFixture()
      const [here, there] = [await fixture.open(), await fixture.open()]
      const [keyId] = fixture.keys
      const [one, two] = [await fixture.signIn(here, { keyId }), await fixture.signIn(here, { keyId })]
      for (const sessions of [here, there])
        for (const secret of [one, two]) expect(await isIn(sessions, secret)).toBe(true)
      const { session } = (await here.authenticate(one))!.identity
      expect(await here.end(fixture.other, { ...end, subject: session.id })).toBe(false)
      expect(
        await here.end(fixture, { ...end, subject: session.id, owner: { keyId: fixture.keys[1] } }),
      ).toBe(false)
      expect(await here.isAlive(session)).toBe(true)
      expect(await here.end(fixture, { ...end, subject: session.id, owner: { keyId } })).toBe(true)
      expect([await isIn(here, one), await here.isAlive(session)]).toEqual([false, false])
      await vi.waitFor(async () => expect(await isIn(there, one)).toBe(false), PATIENCE)
      expect(await there.isAlive(session)).toBe(false)
      expect(await here.end(fixture, { ...end, subject: session.id })).toBe(false)
      for (const sessions of [here, there, await fixture.open()])
        expect([await isIn(sessions, one), await isIn(sessions, two)]).toEqual([false, true])
    })

    test('of a key end together, with links that were not used, and new ones begin', async () => {
      const fixture = await openFixture()
      const [here, there] = [await fixture.open(), await fixture.open()]
      const [keyId, otherKey] = fixture.keys
      const ended = [await fixture.signIn(here, { keyId }), await fixture.signIn(there, { keyId })]
      const others = [
        await fixture.signIn(here, { keyId: otherKey }),
        await fixture.signIn(here),
        await fixture.signIn(here, fixture.other),
      ]
      await here.end(fixture, { ...end, kind: 'key', subject: keyId })
      for (const secret of ended) expect(await isIn(here, secret)).toBe(false)
      await vi.waitFor(async () => {
        for (const secret of ended) expect(await isIn(there, secret)).toBe(false)
      }, PATIENCE)
      for (const secret of others) expect(await isIn(there, secret)).toBe(true)
      const anew = await fixture.signIn(there, { keyId })
      for (const sessions of [here, there]) expect(await isIn(sessions, anew)).toBe(true)
      await there.end(fixture, { ...end, kind: 'tenant', subject: null })
      for (const secret of [anew, others[0]!, others[1]!]) expect(await isIn(there, secret)).toBe(false)
      expect(await isIn(there, others[2]!)).toBe(true)
      expect(await fixture.admin(`select from nomaly.sign_in_links where used_at is null`)).toHaveLength(0)
    })

    test('keep where their newest writes stand: the larger one of a timeline, the newer one otherwise, one of each database', async () => {
      const fixture = await openFixture()
      const [here, there] = [await fixture.open(), await fixture.open()]
      const secret = await fixture.signIn(here)
      const { session } = (await there.authenticate(secret))!.identity
      const other = (await there.authenticate(await fixture.signIn(here)))!.identity.session
      const signedIn = await there.positions(session)
      expect(signedIn).toHaveLength(1)
      const systemId = '7300000000000000001'
      const keep = (timeline: number, lsn: string, by: Sessions): Promise<void> =>
        by.keepPosition(session, { systemId, timeline, lsn })
      const kept = async (): Promise<string | undefined> => {
        const found = (await there.positions(session)).find((position) => position.systemId === systemId)
        return found && `${found.timeline} ${found.lsn}`
      }
      await keep(1, '0/9000', here)
      expect(await kept()).toBe('1 0/9000')
      await keep(1, '0/A0000', there)
      await keep(1, '0/B000', here)
      expect(await kept()).toBe('1 0/A0000')
      await keep(1, '1/10', here)
      await keep(1, '0/FFFFFFFF', there)
      expect(await kept()).toBe('1 1/10')
      await keep(2, '0/10', there)
      expect(await kept()).toBe('2 0/10')
      await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          keep(2, `0/${(index + 16).toString(16).toUpperCase()}`, index % 2 ? here : there),
        ),
      )
      expect(await kept()).toBe('2 0/23')
      expect(await there.positions(session)).toEqual(expect.arrayContaining([...signedIn]))
      expect(await there.positions(other)).toHaveLength(1)
    })
  })
}
