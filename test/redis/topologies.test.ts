import { expect, test, vi } from 'vitest'

import { openRedis, type Redis } from '../../src/redis/connection.ts'
import { startTestCluster } from '../support/redis-cluster.ts'
import { findOnPath } from '../support/redis-programs.ts'
import { startTestRedis, startTestSentinel } from '../support/redis.ts'

const TIMEOUT_MS = 500
/** Of an ACL user, as the guide on running it gives them. */
const RIGHTS = '+@read +@write +@scripting +@pubsub +@connection +info'.split(' ')
const PATIENCE = { timeout: 20_000, interval: 20 }

async function open(url: string, log: string[] = []): Promise<Redis> {
  return openRedis({
    url,
    timeoutMs: TIMEOUT_MS,
    log: (message) => log.push(message),
    clientName: 'nomaly-test',
  })
}

const valkey = await findOnPath('valkey')

test.skipIf(valkey === undefined)(
  'a Valkey (skipped where there is no valkey-server on the PATH)',
  async () => {
    await using server = await startTestRedis({ program: valkey! })
    await using redis = await open(server.url)
    expect(redis.runId).toMatch(/^[0-9a-f]{40}$/)
    expect(await redis.command((client) => client.set('a', '1'))).toBe('OK')
    await using tracking = redis.track({ maxEntries: 10 })
    await vi.waitFor(async () => expect(await tracking.read((client) => client.get('a'))).toBe('1'), PATIENCE)
    await server.send(['SET', 'a', '2'])
    await vi.waitFor(async () => expect(await tracking.read((client) => client.get('a'))).toBe('2'), PATIENCE)
  },
)

test('a password, and an ACL user with few rights', async () => {
  const acl = ['--user', 'nomaly', 'on', '>se:cr@et', '~nomaly:*', '&nomaly:*', ...RIGHTS]
  await using server = await startTestRedis({ arguments: [...acl, '--requirepass', 'other'] })
  await using redis = await open(`redis://nomaly:se%3Acr%40et@127.0.0.1:${server.port}`)
  expect(await redis.command((client) => client.set('nomaly:a', '1'))).toBe('OK')
  await expect(redis.command((client) => client.set('else', '1'))).rejects.toThrow('NOPERM')
  expect(redis.isUp).toBe(true)
  const heard: string[] = []
  await redis.subscribe(
    'nomaly:news',
    (message) => heard.push(message),
    () => {},
  )
  await redis.command((client) => client.publish('nomaly:news', 'hello'))
  await vi.waitFor(() => expect(heard).toEqual(['hello']), PATIENCE)
  await using tracking = redis.track({ maxEntries: 10 })
  await vi.waitFor(
    async () => expect(await tracking.read((client) => client.get('nomaly:a'))).toBe('1'),
    PATIENCE,
  )

  const log: string[] = []
  await using narrow = await open(`redis://nomaly:se%3Acr%40et@127.0.0.1:${server.port}`, log)
  await narrow.subscribe(
    'other:news',
    () => {},
    () => {},
  )
  expect(log).toEqual([expect.stringContaining('Redis refuses a subscription: NOPERM')])

  await using byPassword = await open(`redis://:other@127.0.0.1:${server.port}/2`)
  expect(await byPassword.command((client) => client.set('a', '1'))).toBe('OK')
})

test('a wrong password is said in the log, and itself is not', async () => {
  await using server = await startTestRedis({ arguments: ['--requirepass', 'right'] })
  const log: string[] = []
  await using redis = await open(`redis://:hunter22@127.0.0.1:${server.port}`, log)
  expect(redis.isUp).toBe(false)
  expect(log).toEqual([expect.stringContaining('WRONGPASS')])
  expect(log.join()).not.toContain('hunter22')
  await using without = await open(server.url, log)
  expect(without.isUp).toBe(false)
  expect(log[1]).toContain('NOAUTH')
})

test('TLS with an authority of its own, and with a certificate of the client', async () => {
  await using server = await startTestRedis({ tls: true, clientCertificates: true })
  const { cert, key } = server.certificates!
  const log: string[] = []
  await using refused = await open(server.url, log)
  await using redis = await open(
    `${server.url}&cert=${encodeURIComponent(cert)}&key=${encodeURIComponent(key)}`,
    log,
  )
  expect(await redis.command((client) => client.set('a', '1'))).toBe('OK')
  const heard: string[] = []
  await redis.subscribe(
    'news',
    (message) => heard.push(message),
    () => {},
  )
  await redis.command((client) => client.publish('news', 'hello'))
  await vi.waitFor(() => expect(heard).toEqual(['hello']), PATIENCE)
  expect(refused.isUp).toBe(false)
})

test('TLS: a certificate that nobody known has signed is refused', async () => {
  await using server = await startTestRedis({ tls: true })
  const log: string[] = []
  await using redis = await open(server.url.replace(/\?.*/, ''), log)
  expect(redis.isUp).toBe(false)
  expect(log[0]).toMatch(/certificate/i)
})

test('Sentinel: the master is found, and after its death the replica that took over, under another run id', async () => {
  const user = ['--user', 'nomaly', 'on', '>secret', '~*', '&*', ...RIGHTS, '+role']
  const arguments_ = ['--requirepass', 'data', '--masterauth', 'data', ...user]
  await using master = await startTestRedis({ arguments: arguments_ })
  await using replica = await startTestRedis({
    arguments: [...arguments_, '--replicaof', '127.0.0.1', String(master.port)],
  })
  await using sentinel = await startTestSentinel({
    master,
    lines: ['sentinel auth-pass main data', 'requirepass watch'],
  })
  const query = '?sentinel-password=watch'
  const url = `redis+sentinel://nomaly:secret@127.0.0.1:1,127.0.0.1:${sentinel.port}/main/0${query}`
  const log: string[] = []
  await using redis = await open(url, log)
  await vi.waitFor(() => expect(redis.isUp).toBe(true), PATIENCE)
  const before = redis.runId
  await redis.command((client) => client.set('a', '1'))
  const heard: string[] = []
  let gaps = 0
  await redis.subscribe(
    'news',
    (message) => heard.push(message),
    () => gaps++,
  )
  await vi.waitFor(async () => {
    const info = await replica.send(['INFO', 'replication'], { password: 'data' })
    expect(info).toContain('master_link_status:up')
    const known = await sentinel.send(['SENTINEL', 'REPLICAS', 'main'], { password: 'watch' })
    expect(known).toHaveLength(1)
  }, PATIENCE)
  await master.kill()
  await vi.waitFor(() => expect(redis.isUp).toBe(false), PATIENCE)
  await vi.waitFor(() => expect(redis.isUp).toBe(true), PATIENCE)
  expect(redis.runId).not.toBe(before)
  expect(redis.runId).not.toBe('')
  expect(await redis.command((client) => client.set('b', '2'))).toBe('OK')
  expect(await replica.send(['GET', 'b'], { password: 'data' })).toBe('2')
  await vi.waitFor(() => expect(gaps).toBe(1), PATIENCE)
  await redis.command((client) => client.publish('news', 'after'))
  await vi.waitFor(() => expect(heard).toEqual(['after']), PATIENCE)
})

test('Sentinel: a name that none of them knows is said', async () => {
  await using master = await startTestRedis()
  await using sentinel = await startTestSentinel({ master })
  const log: string[] = []
  await using redis = await open(`redis+sentinel://127.0.0.1:${sentinel.port}/other`, log)
  expect(redis.isUp).toBe(false)
  expect(log[0]).toContain('knows no master other')
})

test('Cluster: keys on every master, scripts on keys of one tag, publishing, and a master that is killed and comes back', async () => {
  const rights = [...RIGHTS, '+cluster|slots', '+cluster|info']
  const user = ['--user', 'nomaly', 'on', '>secret', '~*', '&*', ...rights]
  await using cluster = await startTestCluster(3, user)
  const log: string[] = []
  await using redis = await open(cluster.url.replace('//', '//nomaly:secret@'), log)
  await vi.waitFor(() => expect(redis.isUp).toBe(true), PATIENCE)
  expect(redis.runId.split(',')).toHaveLength(3)
  for (let i = 0; i < 30; i++) await redis.command((client) => client.set(`key-${i}`, String(i)))
  const sizes = await Promise.all(cluster.masters.map((server) => server.send(['DBSIZE'])))
  expect(sizes.every((size) => Number(size) > 0)).toBe(true)
  const script = `redis.call('set', KEYS[1], ARGV[1]); return redis.call('get', KEYS[2])`
  const keys = ['{tag}:one', '{tag}:two']
  await redis.command((client) => client.set('{tag}:two', 'second'))
  expect(await redis.command((client) => client.eval(script, { keys, arguments: ['first'] }))).toBe('second')
  const heard: string[] = []
  await redis.subscribe(
    'news',
    (message) => heard.push(message),
    () => {},
  )
  for (const master of cluster.masters) await master.send(['PUBLISH', 'news', String(master.port)])
  await vi.waitFor(() => expect(heard).toHaveLength(3), PATIENCE)
  await using tracking = redis.track({ maxEntries: 100 })
  await vi.waitFor(
    async () => expect(await tracking.read((client) => client.get('key-7'))).toBe('7'),
    PATIENCE,
  )
  await redis.command((client) => client.set('key-7', 'new'))
  await vi.waitFor(
    async () => expect(await tracking.read((client) => client.get('key-7'))).toBe('new'),
    PATIENCE,
  )

  const before = redis.runId.split(',')
  await cluster.masters[0]!.restart()
  await vi.waitFor(() => {
    const after = redis.runId.split(',')
    expect(after).toHaveLength(3)
    expect(after.filter((id) => !before.includes(id))).toHaveLength(1)
  }, PATIENCE)
  await vi.waitFor(async () => {
    for (let i = 0; i < 30; i++) await redis.command((client) => client.set(`key-${i}`, 'again'))
  }, PATIENCE)
})

test('Cluster: one master that is frozen makes a handful of calls wait', async () => {
  await using cluster = await startTestCluster(3)
  await using redis = await open(cluster.url)
  await vi.waitFor(() => expect(redis.isUp).toBe(true), PATIENCE)
  cluster.masters[1]!.freeze()
  let waited = 0
  for (let i = 0; i < 300; i++) {
    const startedAt = performance.now()
    await redis.command((client) => client.get(`key-${i}`)).catch(() => {})
    if (performance.now() - startedAt >= TIMEOUT_MS) waited++
  }
  expect(redis.isUp).toBe(false)
  expect(waited).toBeGreaterThan(0)
  expect(waited).toBeLessThanOrEqual(3)
  cluster.masters[1]!.thaw()
  await vi.waitFor(() => expect(redis.isUp).toBe(true), PATIENCE)
})
