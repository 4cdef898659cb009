import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'

import { openRedis } from '../../src/redis/connection.ts'
import { Gate } from '../../src/redis/gate.ts'
import { RedisUnavailable } from '../../src/redis/unavailable.ts'
import { startTestRedis } from '../support/redis.ts'

test('answers that take more than half the timeout open the breaker too, and are answers all the same', async () => {
  const opened: string[] = []
  const gate = new Gate({ timeoutMs: 400, onOpen: (reason) => opened.push(reason) })
  const answers = await Promise.all(
    ['a', 'b', 'c'].map((answer) => gate.run(() => sleep(300, answer), undefined)),
  )
  expect(answers).toEqual(['a', 'b', 'c'])
  expect(opened).toEqual(['it answers slowly'])
  expect(gate.breaker.isOpen).toBe(true)
})

test('when the breaker opens, everyone who waits is let go', async () => {
  const gate = new Gate({ timeoutMs: 60_000, onOpen: () => {} })
  const waiting = Array.from({ length: 5 }, () => gate.run(() => new Promise(() => {}), undefined))
  const settled = Promise.allSettled(waiting)
  gate.open('for a test')
  for (const result of await settled)
    expect(result).toMatchObject({ status: 'rejected', reason: { reason: 'down' } })
})

test('a process that is busy with itself does not blame Redis', async () => {
  await using server = await startTestRedis()
  await using redis = await openRedis({ url: server.url, timeoutMs: 100, log: () => {}, clientName: 'busy' })
  for (let i = 0; i < 6; i++) {
    const answer = redis.command((client) => client.set('a', String(i)))
    // Lets the command be sent, and then keeps its answer waiting for longer than the timeout.
    await new Promise((resolve) => setImmediate(resolve))
    const until = performance.now() + 250
    while (performance.now() < until);
    expect(await answer).toBe('OK')
  }
  expect(redis.isUp).toBe(true)
})

test('a replica that was taken for a server takes no writes and is not called away for that', async () => {
  await using master = await startTestRedis()
  await using replica = await startTestRedis({ arguments: ['--replicaof', '127.0.0.1', String(master.port)] })
  const log: string[] = []
  await using redis = await openRedis({
    url: replica.url,
    timeoutMs: 300,
    log: (message) => log.push(message),
    clientName: 'reader',
  })
  for (let i = 0; i < 6; i++) {
    const refused = redis.command((client) => client.set('a', '1'))
    await expect(refused).rejects.toBeInstanceOf(RedisUnavailable)
    await expect(refused).rejects.toMatchObject({
      reason: 'full',
      message: expect.stringContaining('READONLY'),
    })
  }
  expect(redis.isUp).toBe(true)
  expect(log).toEqual([])
})

test('a listener that fails does not keep the connection from coming back', async () => {
  await using server = await startTestRedis()
  const log: string[] = []
  await using redis = await openRedis({
    url: server.url,
    timeoutMs: 300,
    log: (message) => log.push(message),
    clientName: 'listener',
  })
  const seen: boolean[] = []
  redis.onChange(() => {
    throw new Error('mine')
  })
  const isBack = new Promise<void>((resolve) => {
    redis.onChange((isUp) => {
      seen.push(isUp)
      if (isUp) resolve()
    })
  })
  await server.restart()
  await isBack
  expect(seen).toEqual([false, true])
  expect(log.filter((line) => line.includes('mine'))).toHaveLength(2)
})

test('a certificate file that is not there is an error of the start', async () => {
  const start = openRedis({
    url: 'rediss://127.0.0.1:1?ca=/no/such/file.pem',
    timeoutMs: 100,
    log: () => {},
    clientName: 'none',
  })
  await expect(start).rejects.toMatchObject({ code: 'invalid_input', problems: [{ field: 'REDIS_URL' }] })
})
