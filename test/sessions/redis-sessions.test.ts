import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { openQuickTier, type QuickTier } from '../../src/store/open-quick-tier.ts'
import { describeSessions } from '../conformance/sessions.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { openSessionsFixture, type SessionsFixture } from './sessions-fixture.ts'

const PATIENCE = { timeout: 10_000, interval: 20 }
const end = { kind: 'session', actor: 'test', reason: 'test' } as const

let server: TestRedis

beforeAll(async () => {
  server = await startTestRedis()
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

function openTier(redisUrl: string, redisPrefix: string): Promise<QuickTier | undefined> {
  return openQuickTier({ redisUrl, redisPrefix, redisTimeoutMs: 1_000 }, () => {})
}

describeSessions('redis', (prefix) => openTier(server.url, prefix))

describe('sessions with copies in redis', () => {
  const openFixture = async (): Promise<SessionsFixture & { copies: () => Promise<string[]> }> => {
    let ours = ''
    const fixture = await openSessionsFixture((prefix) => {
      ours = prefix
      return openTier(server.url, prefix)
    })
    return {
      ...fixture,
      copies: async () => ((await server.send(['KEYS', `${ours}session:*`])) as string[]).toSorted(),
    }
  }

  test('are found without PostgreSQL, and never by a copy of the secret', async () => {
    const { open, signIn, copies, admin } = await openFixture()
    const here = await open()
    const secret = await signIn(here)
    expect(await here.authenticate(secret)).toBeDefined()
    const [key] = await copies()
    expect(key).toBeDefined()
    expect(`${key} ${String(await server.send(['GET', key!]))}`).not.toContain(secret.split('_')[1])
    // What PostgreSQL says is not asked for: here it would say no. Nothing else removes a row without a revocation.
    await admin('delete from nomaly.sessions')
    const there = await open()
    expect(await there.authenticate(secret)).toBeDefined()
  })

  test('that were revoked are refused although their copy comes back, also by a process that has just started', async () => {
    const fixture = await openFixture()
    const here = await fixture.open()
    const [keyId] = fixture.keys
    const secrets = {
      one: await fixture.signIn(here),
      key: await fixture.signIn(here, { keyId }),
      tenant: await fixture.signIn(here, fixture.other),
    }
    const taken: [string, string][] = []
    for (const secret of Object.values(secrets)) {
      const before = await fixture.copies()
      expect(await here.authenticate(secret)).toBeDefined()
      const key = (await fixture.copies()).find((name) => !before.includes(name))!
      taken.push([key, String(await server.send(['GET', key]))])
    }
    const { session } = (await here.authenticate(secrets.one))!.identity
    await here.end(fixture, { ...end, subject: session.id })
    await here.end(fixture, { ...end, kind: 'key', subject: keyId })
    await here.end(fixture.other, { ...end, kind: 'tenant', subject: null })
    for (const [key, copy] of taken) await server.send(['SET', key, copy])
    for (const sessions of [here, await fixture.open()])
      for (const [kind, secret] of Object.entries(secrets))
        expect(await sessions.authenticate(secret), kind).toBeUndefined()
    // The copies are good ones: without what was revoked they are taken.
    await fixture.admin('delete from nomaly.session_revocations')
    expect(await (await fixture.open()).authenticate(secrets.one)).toBeDefined()
  })

  test('are taken from PostgreSQL after Redis was emptied, restarted, filled with rubbish, or while it is away', async () => {
    await using own = await startTestRedis()
    const fixture = await openSessionsFixture((prefix) => openTier(own.url, prefix))
    const here = await fixture.open()
    const secret = await fixture.signIn(here)
    const isIn = async (): Promise<boolean> => {
      // Beyond what this process remembers by itself.
      fixture.clock.pass(6_000)
      return (await here.authenticate(secret)) !== undefined
    }
    expect(await isIn()).toBe(true)
    await own.flush()
    expect(await isIn()).toBe(true)
    const [key] = (await own.send(['KEYS', '*session:*'])) as string[]
    const copy = String(await own.send(['GET', key!]))
    const [run] = copy.split('\n')
    for (const rubbish of [
      '',
      'x',
      `${run}\n`,
      `${run}\n{}`,
      `${run}\nnull`,
      `${run}\n[1]`,
      copy.replace('"role"', '"rule"'),
    ]) {
      await own.send(['SET', key!, rubbish])
      expect(await isIn(), rubbish).toBe(true)
    }
    await own.send(['DEL', key!])
    await own.send(['LPUSH', key!, 'another type'])
    expect(await isIn()).toBe(true)
    await own.kill()
    expect(await isIn()).toBe(true)
    // And sessions begin and end meanwhile.
    const another = await fixture.signIn(here)
    const { session } = (await here.authenticate(another))!.identity
    await here.end(fixture, { ...end, subject: session.id })
    expect(await here.authenticate(another)).toBeUndefined()
    await own.launch()
    expect(await isIn()).toBe(true)
  })

  test('a copy that another server was given is none: positions in it may be old', async () => {
    await using own = await startTestRedis({ arguments: ['--save', '', '--appendonly', 'yes'] })
    const fixture = await openSessionsFixture((prefix) => openTier(own.url, prefix))
    const here = await fixture.open()
    const secret = await fixture.signIn(here)
    const { session } = (await here.authenticate(secret))!.identity
    const position = { systemId: '7300000000000000001', timeline: 1, lsn: '0/9000' }
    await here.keepPosition(session, position)
    expect(await here.positions(session)).toContainEqual(position)
    await own.restart()
    await vi.waitFor(async () => {
      expect(await own.send(['DBSIZE'])).toBeGreaterThan(0)
      await here.keepPosition(session, { ...position, systemId: '7300000000000000002' })
      expect(await here.positions(session)).toEqual([{ ...position, systemId: '7300000000000000002' }])
    }, PATIENCE)
  })

  test('the use of a session is noted in Redis, and in PostgreSQL a quarter of an hour later', async () => {
    const fixture = await openFixture()
    const here = await fixture.open()
    const secret = await fixture.signIn(here)
    const noted = async (): Promise<number> => {
      const [row] = await fixture.admin<{ at: Date }>('select last_seen_at as at from nomaly.sessions')
      return row!.at.getTime()
    }
    const beganMs = fixture.clock.nowMs
    await here.authenticate(secret)
    for (let minute = 1; minute < 15; minute++) {
      fixture.clock.pass(60_000)
      await here.authenticate(secret)
      await vi.waitFor(async () => {
        const [key] = await fixture.copies()
        const copy = JSON.parse(String(await server.send(['GET', key!])).split('\n')[1]!)
        expect(copy.seenAtMs).toBe(fixture.clock.nowMs)
      }, PATIENCE)
    }
    expect(await noted()).toBe(beganMs)
    fixture.clock.pass(60_000)
    await here.authenticate(secret)
    await vi.waitFor(async () => expect(await noted()).toBe(fixture.clock.nowMs), PATIENCE)
  })

  test('while PostgreSQL is away those known go on for the stated bound, and are refused as unavailable then', async () => {
    const fixture = await openFixture()
    const proxy = await TcpProxy.to(fixture.databaseUrl)
    onTestFinished(() => proxy[Symbol.asyncDispose]())
    const here = await fixture.open(undefined, proxy.url(fixture.databaseUrl))
    const secret = await fixture.signIn(here)
    expect(await here.authenticate(secret)).toBeDefined()
    proxy.goAway()
    const awayMs = performance.now()
    // Beyond what is remembered of the look-up: from here on it is the copy.
    fixture.clock.pass(6_000)
    expect(await here.authenticate(secret)).toBeDefined()
    let refused: unknown
    await vi.waitFor(async () => {
      refused = await here.authenticate(secret).then(
        () => undefined,
        (error: unknown) => error,
      )
      expect(refused).toBeDefined()
    }, PATIENCE)
    expect(refused).toMatchObject({ code: 'unavailable' })
    expect(performance.now() - awayMs).toBeGreaterThan(2_000)
    proxy.comeBack()
    await vi.waitFor(async () => expect(await here.authenticate(secret)).toBeDefined(), PATIENCE)
  })
})
