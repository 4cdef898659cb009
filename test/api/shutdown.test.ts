import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { startTestNomaly } from '../support/nomaly.ts'

test('a request under way is answered while the server stops, and its connection does not hold it up', async () => {
  const nomaly = await startTestNomaly({ worker: false })
  const agent = new Agent({ keepAlive: true })
  try {
    const outgoing = request(`${nomaly.url}/v1/datasets`, {
      method: 'POST',
      agent,
      headers: { 'content-type': 'application/json', authorization: `Bearer ${nomaly.tenant.key}` },
    })
    const answered = once(outgoing, 'response') as Promise<[IncomingMessage]>
    outgoing.write('{"name":')
    // The server has the request, and waits for the rest, when it answers a later one.
    await nomaly.request('GET', '/healthz')
    const stopped = nomaly[Symbol.asyncDispose]()
    outgoing.end('"late"}')
    const [response] = await answered
    expect({ status: response.statusCode, body: JSON.parse(await text(response)) }).toMatchObject({
      status: 201,
      body: { name: 'late' },
    })
    // The client would keep its connection for more than a minute.
    await stopped
  } finally {
    agent.destroy()
  }
})
