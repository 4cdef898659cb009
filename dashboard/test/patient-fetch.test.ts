import { expect, test } from 'vitest'
import { patientFetch } from '../src/api/patient-fetch.ts'

type Step = Response | Error

/** Answers one step after the other, and tells what was sent and how long was waited. */
async function run(
  method: 'GET' | 'POST',
  steps: readonly Step[],
): Promise<{ outcome: number | string; keys: (string | null)[]; bodies: string[]; waits: number[] }> {
  const keys: (string | null)[] = []
  const bodies: string[] = []
  const waits: number[] = []
  const request = new Request('http://host/v1/jobs', {
    method,
    ...(method === 'POST' ? { body: '{"a":1}' } : {}),
  })
  const send = async (sent: Request): Promise<Response> => {
    const step = steps[keys.length]!
    keys.push(sent.headers.get('idempotency-key'))
    bodies.push(await sent.text())
    if (step instanceof Error) throw step
    return step
  }
  const outcome = await patientFetch(request, send, async (ms) => void waits.push(ms)).then(
    ({ status }) => status,
    (error: Error) => error.message,
  )
  return { outcome, keys, bodies, waits }
}

function problem(status: number, type: string, retryAfter?: string): Response {
  return new Response(JSON.stringify({ type: `urn:nomaly:problem:${type}` }), {
    status,
    headers: retryAfter === undefined ? {} : { 'retry-after': retryAfter },
  })
}

const done = (): Response => new Response('{}', { status: 201 })

test('a POST whose answer did not come is sent again, whole and under the same key', async () => {
  const { outcome, keys, bodies } = await run('POST', [
    new TypeError('broke'),
    problem(503, 'unknown_outcome', '1'),
    problem(409, 'under_way', '1'),
    done(),
  ])
  expect(outcome).toBe(201)
  expect(new Set(keys).size).toBe(1)
  expect(keys[0]).toMatch(/^[0-9a-f]{32}$/)
  expect(bodies).toEqual(Array.from({ length: 4 }, () => '{"a":1}'))
})

test('two POSTs have two keys', async () => {
  const [first, second] = [await run('POST', [done()]), await run('POST', [done()])]
  expect(first.keys[0]).not.toBe(second.keys[0])
})

test('what the server holds back is asked for when it says, whatever it is', async () => {
  const { outcome, keys, waits } = await run('GET', [problem(429, 'rate_limited', '3'), done()])
  expect(outcome).toBe(201)
  expect(keys).toEqual([null, null])
  expect(waits).toHaveLength(1)
  expect(waits[0]).toBeGreaterThanOrEqual(3_000)
})

test('what would fail again, or takes too long, is answered at once; in the end it is given up', async () => {
  expect((await run('POST', [problem(409, 'conflict')])).outcome).toBe(409)
  expect((await run('POST', [problem(409, 'conflict', '1')])).outcome).toBe(409)
  expect((await run('POST', [problem(400, 'invalid_input')])).outcome).toBe(400)
  expect((await run('GET', [problem(429, 'rate_limited', '600')])).outcome).toBe(429)
  expect((await run('GET', [new TypeError('broke')])).outcome).toBe('broke')
  const steps = Array.from({ length: 9 }, () => problem(503, 'unavailable', '1'))
  expect(await run('POST', steps)).toMatchObject({ outcome: 503, keys: { length: 4 } })
})
