import { readFile } from 'node:fs/promises'
import { Agent, request } from 'node:https'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text as readText } from 'node:stream/consumers'

import { afterAll, beforeAll, expect, test } from 'vitest'

import { clusterApi } from '../../support/cluster-api.ts'
import { DatabaseCluster } from '../../support/cluster.ts'
import type { LocalProcess } from '../../support/local-process.ts'
import { eventually } from '../../support/nomaly.ts'
import { databasesOf } from './databases.ts'

let cluster: DatabaseCluster
let apis: LocalProcess[]
let key: string
let authority: string

beforeAll(async () => {
  cluster = await DatabaseCluster.start({ redis: true, pooler: true })
  authority = await readFile(cluster.authorityFile, 'utf8')
  apis = await Promise.all(cluster.plan.apis.map((member) => clusterApi(member)))
  // The first makes the first tenant.
  await apis[0]!.start()
  await untilReady(0)
  await apis[1]!.start()
  await untilReady(1)
  key = (await readFile(join(cluster.plan.apis[0]!.places.data, 'admin-key'), 'utf8')).trim()
}, 240_000)
afterAll(() => cluster?.[Symbol.asyncDispose]())

interface Answer {
  readonly status: number
  readonly body: string
}

function send(
  port: number,
  method: string,
  path: string,
  body?: string,
  agent: Agent | false = false,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = {
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    }
    const sent = request(
      { host: 'localhost', port, method, path, headers, ca: authority, agent, timeout: 20_000 },
      (answer) => {
        let text = ''
        answer.setEncoding('utf8')
        answer.on('data', (chunk: string) => (text += chunk))
        answer.on('end', () => resolve({ status: answer.statusCode!, body: text }))
        answer.on('error', reject)
      },
    )
    sent.on('timeout', () => sent.destroy(new Error('timed out')))
    sent.on('error', reject)
    sent.end(body)
  })
}

databasesOf(() => cluster)

/** By way of the balancer. */
function ask(method: string, path: string, body?: string, agent?: Agent): Promise<Answer> {
  return send(cluster.plan.balancers[0]!.apiPort, method, path, body, agent)
}

async function untilReady(index: number): Promise<void> {
  const { port } = cluster.plan.apis[index]!
  const ready = eventually(async () => {
    const { status } = await send(port, 'GET', '/readyz').catch(() => ({ status: 0 }))
    return status === 200
  }, 60_000)
  const ended = apis[index]!.ended.then(async () => {
    throw new Error(`The API ended by itself:\n${await apis[index]!.tail()}`)
  })
  await Promise.race([ready, ended])
}

/** Until the balancer has seen for itself that all are ready: it looks from time to time. */
async function untilBalanced(): Promise<void> {
  await eventually(async () => {
    const socket = connect(join(cluster.plan.balancers[0]!.places.run, 'haproxy.sock'))
    socket.end('show stat\n')
    const servers = (await readText(socket)).split('\n').filter((line) => line.startsWith('apis,api'))
    return servers.length === apis.length && servers.every((line) => line.includes(',UP,'))
  }, 60_000)
}

test('an API that is told to stop under load leaves no request without its answer', async () => {
  await untilBalanced()
  expect((await ask('POST', '/v1/datasets', '{"name":"drained"}')).status).toBe(201)
  const statuses = new Map<string, number>()
  const controller = new AbortController()
  const client = async (number: number): Promise<void> => {
    // A connection that is kept is what a process that closes could break.
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    for (let n = 0; !controller.signal.aborted; n++) {
      const point = JSON.stringify([
        { time: new Date(1.7e12 + n * 1_000).toISOString(), metric: `m${number}`, value: n },
      ])
      const [method, path, body] =
        n % 2 === 0 ? ['POST', '/v1/datasets/drained/points', point] : ['GET', '/v1/datasets/drained']
      const answer = await ask(method, path, body, agent).catch((error: Error) => ({
        status: 0,
        body: error.message,
      }))
      const outcome = answer.status === 200 ? 'answered' : `${answer.status} ${answer.body}`
      statuses.set(outcome, (statuses.get(outcome) ?? 0) + 1)
    }
    agent.destroy()
  }
  const clients = Promise.all(Array.from({ length: 16 }, (_, number) => client(number)))
  for (const [index, api] of apis.entries()) {
    await api.stop()
    await api.start()
    await untilReady(index)
    await untilBalanced()
  }
  controller.abort()
  await clients
  expect([...statuses.keys()]).toEqual(['answered'])
  expect(statuses.get('answered')).toBeGreaterThan(50)
}, 180_000)

test('a Redis master that dies is replaced, and the APIs follow', async () => {
  const isWhole = async (): Promise<boolean> => {
    const states = await Promise.all(
      cluster.plan.apis.map(async ({ port }) => (await send(port, 'GET', '/readyz')).body),
    )
    return states.every((state) => state.includes('"status":"ready"'))
  }
  await eventually(isWhole, 30_000)
  await cluster.redis[0]!.kill()
  await eventually(async () => !(await isWhole()), 10_000)
  await eventually(isWhole, 30_000)
}, 120_000)
