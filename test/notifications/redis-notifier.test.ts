import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import type { Notification, Notifier } from '../../src/notifications/notifier.ts'
import { PostgresNotifier } from '../../src/notifications/postgres-notifier.ts'
import { RedisNotifier } from '../../src/notifications/redis-notifier.ts'
import { openRedis } from '../../src/redis/connection.ts'
import { describeNotifier } from '../conformance/notifier.ts'
import { eventually } from '../support/nomaly.ts'
import { startSuiteRedis, startTestRedis } from '../support/redis.ts'
import { NotifierDatabase } from './notifier-fixture.ts'

async function open(
  database: NotifierDatabase,
  url: string,
  prefix: string,
  clientName = 'nomaly-notifier',
): Promise<Notifier> {
  await using stack = new AsyncDisposableStack()
  const redis = stack.use(await openRedis({ url, timeoutMs: 250, log: () => {}, clientName }))
  const beside = await PostgresNotifier.connect(database.url, () => {})
  const notifier = stack.use(await RedisNotifier.open({ redis, prefix, beside }))
  const resources = stack.move()
  return {
    publish: (notification) => notifier.publish(notification),
    subscribe: (listener) => notifier.subscribe(listener),
    onReconnect: (listener) => notifier.onReconnect(listener),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

describeNotifier('over Redis', async () => {
  const database = await NotifierDatabase.create()
  const server = await startSuiteRedis()
  const other = await openRedis({ url: server.url, timeoutMs: 1_000, log: () => {}, clientName: 'other' })
  const { prefix } = server
  return {
    open: () => open(database, server.url, prefix),
    sendText: async (text) => {
      await other.command((client) => client.publish(`${prefix}notices`, text))
      await database.notify(text)
    },
    commitWith: (notification) => database.commitWith(notification),
    breakConnections: async () => {
      // Only those of this suite: the server may be somebody's own.
      const clients = await other.command((client) => client.clientList().then(JSON.stringify))
      for (const { id, name } of JSON.parse(clients) as { id: number; name: string }[])
        if (name === 'nomaly-notifier-subscriber')
          await other.command((client) => client.clientKill({ filter: 'ID', id }))
    },
    [Symbol.asyncDispose]: async () => {
      await other[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
})

const notice = (): Notification => ({ channel: 'events', tenantId: randomUUID(), id: '' })

function gather(notifier: Notifier): { heard: Set<string>; gaps: number } {
  const gathered = { heard: new Set<string>(), gaps: 0 }
  notifier.subscribe(({ tenantId }) => gathered.heard.add(tenantId))
  notifier.onReconnect(() => gathered.gaps++)
  return gathered
}

test('with Redis away from the start, in the middle and back again, every notice arrives', async () => {
  await using database = await NotifierDatabase.create()
  await using server = await startTestRedis()
  await server.kill()
  await using a = await open(database, server.url, 'p:')
  await using b = await open(database, server.url, 'p:')
  const there = gather(b)
  const say = async (): Promise<void> => {
    const notification = notice()
    const gapsBefore = there.gaps
    a.publish(notification)
    await eventually(async () => there.heard.has(notification.tenantId) || there.gaps > gapsBefore)
  }
  for (let i = 0; i < 10; i++) await say()
  expect(there.heard.size).toBe(10)
  await server.launch()
  for (let i = 0; i < 30; i++) await say()
  await server.kill()
  for (let i = 0; i < 30; i++) await say()
  await server.launch()
  // It goes through Redis again: nothing is left to PostgreSQL.
  await eventually(async () => {
    const before = Number(
      /cmdstat_publish:calls=(\d+)/.exec(String(await server.send(['INFO', 'commandstats'])))?.[1],
    )
    await say()
    return before > 0
  })
}, 60_000)

test('a process that alone does not reach Redis looks for itself, until it does', async () => {
  await using database = await NotifierDatabase.create()
  await using server = await startTestRedis()
  // The deaf one has another server, on which nobody publishes, frozen.
  await using silent = await startTestRedis()
  await using a = await open(database, server.url, 'p:')
  await using b = await open(database, silent.url, 'p:')
  const there = gather(b)
  silent.freeze()
  await eventually(async () => there.gaps >= 2, 20_000)
  const notification = notice()
  a.publish(notification)
  const gapsBefore = there.gaps
  await eventually(async () => there.gaps > gapsBefore, 10_000)
  expect(there.heard.has(notification.tenantId)).toBe(false)
  silent.thaw()
  // What transactions send reaches it all the time.
  await database.commitWith(notification)
  await eventually(async () => there.heard.has(notification.tenantId))
}, 60_000)

test('installations that share a Redis do not hear each other', async () => {
  await using database = await NotifierDatabase.create()
  await using other = await NotifierDatabase.create()
  await using server = await startTestRedis()
  await using a = await open(database, server.url, 'a:')
  await using b = await open(other, server.url, 'b:')
  const [here, there] = [gather(a), gather(b)]
  const [mine, theirs] = [notice(), notice()]
  a.publish(mine)
  b.publish(theirs)
  await eventually(async () => here.heard.size > 0 && there.heard.size > 0)
  expect([[...here.heard], [...there.heard]]).toEqual([[mine.tenantId], [theirs.tenantId]])
})
