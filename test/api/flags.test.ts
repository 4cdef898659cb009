import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  eventually,
  startTestNomaly,
  type TestAnswer,
  type TestNomaly,
  type TestRequest,
} from '../support/nomaly.ts'

let nomaly: TestNomaly

beforeAll(async () => {
  nomaly = await startTestNomaly({ worker: false })
})

afterAll(() => nomaly[Symbol.asyncDispose]())

function send(method: string, path: string, body?: unknown, headers = {}): Promise<TestAnswer> {
  return nomaly.request(method, path, { body, headers } satisfies TestRequest)
}

async function evaluate(key: string, body: object = {}): Promise<TestAnswer['body']> {
  const answer = await send('POST', `/v1/flags/${key}/evaluate`, body)
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  return answer.body
}

test('a flag is made, rolled out, and taken back in one step, and holds at once', async () => {
  const made = await send('POST', '/v1/flags', { key: 'new-page', description: 'The page in its new form' })
  expect(made).toMatchObject({
    status: 201,
    body: { version: 1, type: 'boolean', enabled: false, offVariant: 'off' },
  })
  expect(made.headers.get('etag')).toBe('"1"')
  expect(made.headers.get('nomaly-position')).not.toBeNull()
  expect(await evaluate('new-page')).toEqual({
    key: 'new-page',
    value: false,
    variant: 'off',
    reason: 'DISABLED',
  })

  const rules = [
    { attributes: { plan: ['pro', 1, true, '1'] }, variant: 'on' },
    { split: [{ variant: 'on', percentage: 25 }], description: 'some of the others' },
  ]
  const rolled = await send('PATCH', '/v1/flags/new-page', {
    enabled: true,
    defaultVariant: 'off',
    rules,
    note: 'go',
  })
  expect(rolled).toMatchObject({ status: 200, body: { version: 2, rules } })
  expect(await evaluate('new-page', { attributes: { plan: 'pro' } })).toMatchObject({
    value: true,
    reason: 'TARGETING_MATCH',
  })
  expect(await evaluate('new-page', { attributes: { plan: 'free' } })).toMatchObject({
    variant: null,
    reason: 'ERROR',
    errorCode: 'TARGETING_KEY_MISSING',
  })
  const reasons = await Promise.all(
    Array.from(
      { length: 20 },
      async (_, index) => (await evaluate('new-page', { targetingKey: `user-${index}` })).reason,
    ),
  )
  expect(new Set(reasons)).toEqual(new Set(['SPLIT', 'DEFAULT']))

  const reverted = await send('POST', '/v1/flags/new-page/revert', { version: 1, note: 'back' })
  expect(reverted).toMatchObject({ status: 200, body: { version: 3, enabled: false, rules: [] } })
  expect(await evaluate('new-page', { attributes: { plan: 'pro' } })).toMatchObject({
    value: false,
    reason: 'DISABLED',
  })
  const { body: history } = await send('GET', '/v1/flags/new-page/history')
  expect(history.items).toMatchObject([
    {
      version: 3,
      revertedTo: 1,
      note: 'back',
      changedBy: 'key:admin',
      changes: expect.arrayContaining(['turned off']),
    },
    { version: 2, revertedTo: null, note: 'go', definition: { rules } },
    { version: 1, changes: ['made: boolean, off'] },
  ])
  const { body: audit } = await send('GET', '/v1/audit')
  expect(audit.items.slice(0, 3)).toMatchObject(
    ['revert', 'update', 'create'].map((verb) => ({ action: `flag.${verb}`, subjectId: 'new-page' })),
  )
})

test('two who edit the same version do not overwrite one another', async () => {
  await send('POST', '/v1/flags', { key: 'shared' })
  const first = await send('PATCH', '/v1/flags/shared', { enabled: true }, { 'if-match': '"1"' })
  expect(first.status).toBe(200)
  for (const tag of ['"1"', '"7"', 'W/"2"', '2', 'rubbish'])
    expect(await send('PATCH', '/v1/flags/shared', { enabled: false }, { 'if-match': tag })).toMatchObject({
      status: 412,
      body: { type: 'urn:nomaly:problem:precondition_failed', hint: expect.any(String) },
    })
  expect((await send('DELETE', '/v1/flags/shared', undefined, { 'if-match': '"1"' })).status).toBe(412)
  expect(
    (await send('PATCH', '/v1/flags/shared', { description: 'x' }, { 'if-match': '*' })).body.version,
  ).toBe(3)
  expect((await send('DELETE', '/v1/flags/shared?note=done', undefined, { 'if-match': '"3"' })).status).toBe(
    204,
  )
  expect((await send('GET', '/v1/flags/shared')).status).toBe(404)
  expect((await send('POST', '/v1/flags/shared/evaluate', {})).status).toBe(404)
  expect((await send('GET', '/v1/flags/shared/history')).body.items[0]).toMatchObject({
    version: 4,
    note: 'done',
    definition: null,
  })
  expect((await send('POST', '/v1/flags', { key: 'shared' })).body.version).toBe(5)
  expect((await send('POST', '/v1/flags', { key: 'shared' })).status).toBe(409)
})

test.each([
  [{ key: 'Bad Key' }, 'key'],
  [{ key: 'f', type: 'colour' }, 'type'],
  [{ key: 'f', type: 'string' }, 'variants'],
  [{ key: 'f', type: 'number', variants: { a: 1, b: '2' } }, 'variants.b'],
  [{ key: 'f', variants: { 'a b': true } }, 'variants.a b'],
  [{ key: 'f', defaultVariant: 'maybe' }, 'defaultVariant'],
  [{ key: 'f', offVariant: 'maybe' }, 'offVariant'],
  [{ key: 'f', rules: [{}] }, 'rules.0'],
  [{ key: 'f', rules: [{ variant: 'maybe' }] }, 'rules.0.variant'],
  [{ key: 'f', rules: [{ variant: 'on', split: [{ variant: 'on', percentage: 1 }] }] }, 'rules.0'],
  [{ key: 'f', rules: [{ split: [{ variant: 'on', percentage: 101 }] }] }, 'rules.0.split.0.percentage'],
  [{ key: 'f', rules: [{ split: [{ variant: 'on', percentage: 0.0001 }] }] }, 'rules.0.split.0.percentage'],
  [
    {
      key: 'f',
      rules: [
        {
          split: [
            { variant: 'on', percentage: 60 },
            { variant: 'off', percentage: 41 },
          ],
        },
      ],
    },
    'rules.0.split',
  ],
  [
    { key: 'f', rules: [{ tenants: ['00000000-0000-4000-8000-000000000000'], variant: 'on' }] },
    'rules.0.tenants',
  ],
  [{ key: 'f', rules: [{ attributes: { plan: [null] }, variant: 'on' }] }, 'rules.0.attributes.plan.0'],
  [{ key: 'f', description: 'x'.repeat(3_000) }, 'description'],
  [{ key: 'f', type: 'json', variants: { a: { text: 'x'.repeat(70_000) } } }, 'rules'],
] as [object, string][])('%j is refused, naming %s', async (body, field) => {
  const answer = await send('POST', '/v1/flags', body)
  expect(answer.status, JSON.stringify(answer.body)).toBe(400)
  expect(answer.body.errors.map((error: { field: string }) => error.field)).toContain(field)
})

test('who waits for a change is told of it at once, and who does not gets what there is', async () => {
  await send('POST', '/v1/flags', { key: 'waited', enabled: true })
  const before = await send('GET', '/v1/flag-ruleset')
  const etag = before.headers.get('etag')!
  expect(before.body.flags.waited).toMatchObject({ type: 'boolean', enabled: true })
  expect((await send('GET', '/v1/flag-ruleset', undefined, { 'if-none-match': etag })).status).toBe(304)
  expect(
    (await send('GET', '/v1/flag-ruleset?waitSeconds=1', undefined, { 'if-none-match': etag })).status,
  ).toBe(304)
  const waiting = send('GET', '/v1/flag-ruleset?waitSeconds=60', undefined, { 'if-none-match': etag })
  await new Promise((resolve) => setTimeout(resolve, 100))
  await send('PATCH', '/v1/flags/waited', { enabled: false })
  const after = await waiting
  expect(after).toMatchObject({ status: 200, body: { flags: { waited: { enabled: false } } } })
  expect(after.body.revision).toBeGreaterThan(before.body.revision)
  // Somebody who has heard of something newer elsewhere: this process looks, and answers with what there is.
  const ahead = await send('GET', '/v1/flag-ruleset', undefined, { 'if-none-match': '"999999-abc"' })
  expect(ahead.body).toEqual(after.body)
})

test('whose key was revoked while they waited learn nothing more', async () => {
  const tenant = await nomaly.createTenant('leaver')
  const key = await nomaly.createKey(tenant.tenantId, 'viewer')
  const { headers } = await nomaly.request('GET', '/v1/flag-ruleset', { key })
  const waiting = nomaly.request('GET', '/v1/flag-ruleset?waitSeconds=60', {
    key,
    headers: { 'if-none-match': headers.get('etag')! },
  })
  const { body } = await nomaly.request('GET', '/v1/keys', { key: tenant.key })
  const { id } = body.items.find(({ name }: { name: string }) => name === 'viewer')
  await nomaly.request('DELETE', `/v1/keys/${id}`, { key: tenant.key })
  await nomaly.request('POST', '/v1/flags', { key: tenant.key, body: { key: 'secret-plan' } })
  expect(await waiting).toMatchObject({ status: 401 })
})

test('an editor reads and evaluates flags, and changes none', async () => {
  const key = await nomaly.createKey(nomaly.tenant.tenantId, 'editor')
  await send('POST', '/v1/flags', { key: 'kept' })
  expect((await nomaly.request('POST', '/v1/flags/kept/evaluate', { key, body: {} })).status).toBe(200)
  expect((await nomaly.request('PATCH', '/v1/flags/kept', { key, body: { enabled: true } })).status).toBe(403)
})

test('flags are listed page by page, by key', async () => {
  const keys: string[] = []
  let cursor = ''
  do {
    const { body } = await send('GET', `/v1/flags?limit=2${cursor}`)
    keys.push(...body.items.map(({ key }: { key: string }) => key))
    cursor = body.nextCursor === null ? '' : `&cursor=${body.nextCursor}`
  } while (cursor !== '')
  expect(keys).toEqual(keys.toSorted())
  expect(keys).toEqual(expect.arrayContaining(['kept', 'new-page', 'waited']))
})

test('a server that stops lets those go who wait', async () => {
  const beside = await startTestNomaly({ worker: false, beside: nomaly })
  const { headers } = await beside.request('GET', '/v1/flag-ruleset')
  const waiting = beside.request('GET', '/v1/flag-ruleset?waitSeconds=60', {
    headers: { 'if-none-match': headers.get('etag')! },
  })
  await new Promise((resolve) => setTimeout(resolve, 100))
  const startedAt = performance.now()
  await beside[Symbol.asyncDispose]()
  expect((await waiting).status).toBe(304)
  expect(performance.now() - startedAt).toBeLessThan(20_000)
})

test('live settings say what they may be and what holds', async () => {
  const { body } = await send('GET', '/v1/settings')
  expect(body.items).toContainEqual({
    name: 'max-series-per-request',
    value: 20_000,
    default: 20_000,
    isChanged: false,
    version: 0,
    variable: 'NOMALY_MAX_SERIES_PER_REQUEST',
    description: expect.any(String),
    unit: 'series',
    minimum: 1,
    maximum: 1_000_000,
  })
  await nomaly.store.liveSettings.operate((settings) =>
    settings.set('max-series-per-request', 7, { actor: 'operator' }),
  )
  await eventually(async () => (await send('GET', '/v1/settings/max-series-per-request')).body.value === 7)
  expect((await send('GET', '/v1/settings/port')).status).toBe(404)
})
