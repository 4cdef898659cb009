import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { ApiClient } from '../../src/cli/api-client.ts'
import { runCli } from './run-cli.ts'

const servers: Server[] = []

/** An HTTP server that answers as the test wants; closed after it. */
async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

describe('ApiClient', () => {
  it('turns a problem document into the error it stands for', async () => {
    const url = await serve((_, response) => {
      response.writeHead(503, { 'content-type': 'application/problem+json', 'retry-after': '7' })
      response.end(
        JSON.stringify({
          type: 'urn:nomaly:problem:overloaded',
          detail: 'Too much at once.',
          hint: 'Wait.',
          errors: [{ field: 'body', reason: 'queue is full' }],
        }),
      )
    })
    await expect(new ApiClient(url, 'k').get('/v1/me')).rejects.toMatchObject({
      name: 'NomalyError',
      code: 'overloaded',
      message: 'Too much at once.',
      hint: 'Wait.',
      retryAfterSeconds: 7,
      problems: [{ field: 'body', reason: 'queue is full' }],
    })
  })

  it('sends where its writes stand along with what may be read of a standby, and with further writes', async () => {
    const sent: (string | undefined)[] = []
    let written = 0
    const url = await serve((request, response) => {
      sent.push(request.headers['nomaly-read-after'] as string | undefined)
      if (request.method === 'POST') response.setHeader('nomaly-position', `position ${++written}`)
      response.end('{}')
    })
    const client = new ApiClient(url, 'k')
    await client.get('/v1/series/1/points')
    await client.post('/v1/datasets')
    await client.get('/v1/datasets')
    await client.get('/v1/series/1/points')
    await client.post('/v1/datasets')
    await client.get('/v1/series/1/buckets', { bucketSeconds: 60 })
    expect(sent).toEqual([undefined, undefined, undefined, 'position 1', 'position 1', 'position 2'])
  })

  it('makes sense of answers that are not from Nomaly', async () => {
    const url = await serve((request, response) => {
      response.writeHead(request.url === '/v1/me' ? 200 : 502, { 'content-type': 'text/html' })
      response.end('<html>')
    })
    const client = new ApiClient(url, 'k')
    await expect(client.get('/v1/me')).rejects.toMatchObject({
      code: 'unavailable',
      hint: expect.stringContaining('another program'),
    })
    await expect(client.get('/v1/jobs')).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('502'),
    })
  })

  it('follows pages up to the limit, and sends the key', async () => {
    const seen: string[] = []
    const url = await serve((request, response) => {
      const { searchParams } = new URL(request.url!, 'http://host')
      seen.push(`${request.headers.authorization} ${searchParams.get('limit')} ${searchParams.get('cursor')}`)
      const start = Number(searchParams.get('cursor') ?? 0)
      const size = Math.min(Number(searchParams.get('limit')), 100)
      response.end(
        JSON.stringify({
          items: Array.from({ length: size }, (_, at) => start + at),
          nextCursor: String(start + size),
        }),
      )
    })
    const items = await new ApiClient(`${url}/`, 'secret').list<number>(
      '/v1/series',
      { metric: undefined },
      150,
    )
    expect(items).toEqual(Array.from({ length: 150 }, (_, at) => at))
    expect(seen).toEqual(['Bearer secret 150 null', 'Bearer secret 50 100'])
  })

  it('reads events, whole ones only, and ends with the signal', async () => {
    const url = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(': hello\n\nid: 1\nevent: job\ndata: {"id":"a",')
      setTimeout(
        () => response.write('"status":"running"}\n\nevent: points\r\ndata: {"datasetId":"d"}\r\n\r\n'),
        20,
      )
    })
    const controller = new AbortController()
    const events: unknown[] = []
    const reading = async (): Promise<void> => {
      for await (const event of new ApiClient(url, 'k').events(controller.signal)) {
        events.push(event)
        if (events.length === 2) controller.abort()
      }
    }
    await expect(reading()).rejects.toMatchObject({ name: 'AbortError' })
    expect(events).toEqual([
      { type: 'job', data: { id: 'a', status: 'running' } },
      { type: 'points', data: { datasetId: 'd' } },
    ])
  })
})

describe('a command that needs a server', () => {
  it('says how to start one when none runs here', async () => {
    const { code, err } = await runCli(['datasets', 'list'])
    expect(code).toBe(1)
    expect(err).toContain('Nomaly is not running here.')
    expect(err).toContain('nomaly start')
  })

  it('says so when nobody listens at the URL, and when there is no key for it', async () => {
    const url = await serve(() => undefined)
    servers.pop()!.close()
    const away = await runCli(['jobs', 'list', '--url', url, '--api-key', 'k'])
    expect(away).toMatchObject({ code: 1, out: '', err: expect.stringContaining(`not running at ${url}`) })
    const keyless = await runCli(['jobs', 'list', '--url', url])
    expect(keyless.err).toContain(`There is no API key for ${url}`)
  })

  it('takes URL and key from the environment, and prints what the API answers', async () => {
    const item = {
      id: 'i',
      name: 'calm',
      algorithm: 'auto',
      parameters: {},
      budget: { alarms: 2, perSeconds: 86_400 },
    }
    const url = await serve((request, response) => {
      response.statusCode = request.headers.authorization === 'Bearer k' ? 200 : 401
      response.end(JSON.stringify({ items: [item], nextCursor: null }))
    })
    const env = { NOMALY_URL: url, NOMALY_API_KEY: 'k' }
    const table = await runCli(['detectors', 'list'], { env })
    expect(table.out).toMatch(/^Name +Algorithm +Budget.*\ncalm +auto +2 per day/)
    const json = await runCli(['detectors', 'list', '-o', 'json'], { env })
    expect(JSON.parse(json.out)).toEqual([item])
    const lines = await runCli(['detectors', 'list', '-o', 'ndjson'], { env })
    expect(lines.out).toBe(`${JSON.stringify(item)}\n`)
  })

  it('asks before it deletes, and does not go on when nobody can answer', async () => {
    let deleted = 0
    const url = await serve((request, response) => {
      if (request.method === 'DELETE') deleted += 1
      response.writeHead(204).end()
    })
    const args = ['datasets', 'delete', 'servers', '--url', url, '--api-key', 'k']
    expect(await runCli(args)).toMatchObject({ code: 1, err: expect.stringContaining('Add --yes.') })
    expect(deleted).toBe(0)
    expect(await runCli([...args, '--yes'])).toMatchObject({ code: 0, out: 'Deleted dataset "servers".\n' })
    expect(deleted).toBe(1)
  })
})
