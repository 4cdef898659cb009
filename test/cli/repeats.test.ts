import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { ApiClient } from '../../src/cli/api-client.ts'

type Step = (response: ServerResponse) => void

/** A server that takes one step for each request, and tells under which keys they came. */
async function serve(steps: readonly Step[]): Promise<{ client: ApiClient; keys: (string | undefined)[] }> {
  const keys: (string | undefined)[] = []
  const server = createServer((request: IncomingMessage, response) => {
    const step = steps[keys.length]
    keys.push(request.headers['idempotency-key'] as string | undefined)
    request.resume().on('end', () => step!(response))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { client: new ApiClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 'k'), keys }
}

const answer =
  (status: number, type: string, retryAfter?: number): Step =>
  (response) => {
    response.writeHead(status, {
      'content-type': 'application/problem+json',
      ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
    })
    response.end(JSON.stringify({ type: `urn:nomaly:problem:${type}`, detail: type }))
  }
const done: Step = (response) => response.writeHead(201).end('{"id":"made"}')
const breakOff: Step = (response) => void response.destroy()

test('what was to be made is asked for again under one key, until it is known to be there', async () => {
  const { client, keys } = await serve([
    breakOff,
    answer(503, 'unknown_outcome'),
    answer(409, 'under_way', 0),
    done,
  ])
  expect(await client.post('/v1/jobs', { dataset: 'shop' })).toEqual({ id: 'made' })
  expect(keys).toHaveLength(4)
  expect(new Set(keys).size).toBe(1)
  expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/)
})

test('another thing has another key', async () => {
  const { client, keys } = await serve([done, done])
  await client.post('/v1/jobs', {})
  await client.post('/v1/jobs', {})
  expect(new Set(keys).size).toBe(2)
})

test('what is refused for good, or for longer than one waits, is told at once', async () => {
  const { client, keys } = await serve([
    answer(409, 'conflict'),
    answer(422, 'key_reused'),
    answer(429, 'rate_limited', 3_600),
    answer(503, 'unavailable'),
  ])
  for (const code of ['conflict', 'key_reused', 'rate_limited', 'unavailable'])
    await expect(client.post('/v1/jobs', {})).rejects.toMatchObject({ code })
  expect(keys).toHaveLength(4)
})

test('whatever is held back by a limit is asked for when the server says', async () => {
  const { client, keys } = await serve([
    answer(429, 'rate_limited', 0),
    done,
    answer(429, 'rate_limited', 0),
    done,
  ])
  expect(await client.get('/v1/me')).toEqual({ id: 'made' })
  expect(await client.delete('/v1/jobs/x')).toEqual({ id: 'made' })
  expect(keys).toEqual([undefined, undefined, undefined, undefined])
})

test('a server that is not there is not waited for', async () => {
  await expect(new ApiClient('http://127.0.0.1:1', 'k').post('/v1/jobs', {})).rejects.toMatchObject({
    code: 'unavailable',
    retryAfterSeconds: undefined,
  })
})
