import { OpenFeature, ProviderEvents, ProviderStatus, type Client } from '@openfeature/server-sdk'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { NomalyProvider } from '../../src/index.ts'
import { eventually, startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

let nomaly: TestNomaly

beforeAll(async () => {
  nomaly = await startTestNomaly({ worker: false })
  const flags = [
    {
      key: 'page',
      enabled: true,
      defaultVariant: 'off',
      rules: [{ attributes: { plan: ['pro'] }, variant: 'on' }],
    },
    { key: 'colour', type: 'string', enabled: true, variants: { a: 'red', b: 'blue' }, defaultVariant: 'b' },
    { key: 'size', type: 'number', enabled: true, variants: { a: 12.5 } },
    { key: 'shape', type: 'json', enabled: true, variants: { a: { sides: 3 } } },
    { key: 'dark', type: 'string', variants: { a: 'x' } },
    {
      key: 'part',
      enabled: true,
      defaultVariant: 'off',
      rules: [{ split: [{ variant: 'on', percentage: 40 }] }],
    },
  ]
  for (const body of flags) expect((await nomaly.request('POST', '/v1/flags', { body })).status).toBe(201)
  const rules = [{ tenants: [nomaly.tenant.tenantId], variant: 'on' }]
  await nomaly.store.flags.operate((operator) =>
    operator.create('house', { enabled: true, defaultVariant: 'off', rules }, { actor: 'operator' }),
  )
})

afterAll(() => nomaly[Symbol.asyncDispose]())

let domains = 0

async function connect(provider: NomalyProvider): Promise<Client> {
  const domain = `test-${domains++}`
  onTestFinished(() => OpenFeature.clearProviders())
  await OpenFeature.setProviderAndWait(domain, provider)
  return OpenFeature.getClient(domain)
}

const kinds = {
  'on a store': () => NomalyProvider.onStore(nomaly.store, nomaly.tenant.tenantId),
  'over HTTP': () => NomalyProvider.overHttp({ url: nomaly.url, apiKey: nomaly.tenant.key }),
}

describe.each(Object.entries(kinds))('a provider %s', (_, make) => {
  test('gives the standard SDK values of every type, with variant and reason', async () => {
    const client = await connect(make())
    expect(client.providerStatus).toBe(ProviderStatus.READY)
    expect(await client.getBooleanDetails('page', false, { plan: 'pro' })).toMatchObject({
      value: true,
      variant: 'on',
      reason: 'TARGETING_MATCH',
    })
    expect(await client.getBooleanDetails('page', true, { plan: 'free' })).toMatchObject({
      value: false,
      reason: 'DEFAULT',
    })
    expect(await client.getStringDetails('colour', 'x')).toMatchObject({
      value: 'blue',
      variant: 'b',
      reason: 'STATIC',
    })
    expect(await client.getNumberValue('size', 0)).toBe(12.5)
    expect(await client.getObjectValue('shape', {})).toEqual({ sides: 3 })
    expect(await client.getBooleanValue('house', false)).toBe(true)
    expect(await client.getStringDetails('dark', 'mine')).toMatchObject({ value: 'mine', reason: 'DISABLED' })
    const values = await Promise.all(
      Array.from({ length: 200 }, (__, index) =>
        client.getBooleanDetails('part', false, { targetingKey: `user-${index}` }),
      ),
    )
    expect(new Set(values.map(({ reason }) => reason))).toEqual(new Set(['SPLIT', 'DEFAULT']))
  })

  test('answers the default of the program, and says why, where there is no such value', async () => {
    const client = await connect(make())
    expect(await client.getBooleanDetails('none', true)).toMatchObject({
      value: true,
      reason: 'ERROR',
      errorCode: 'FLAG_NOT_FOUND',
    })
    expect(await client.getNumberDetails('colour', 7)).toMatchObject({ value: 7, errorCode: 'TYPE_MISMATCH' })
    expect(await client.getBooleanDetails('part', true)).toMatchObject({
      value: true,
      errorCode: 'TARGETING_KEY_MISSING',
    })
  })

  test('tells of changes, once they hold', async () => {
    const client = await connect(make())
    const key = `made-${domains}`
    const heard: { keys: unknown; value: Promise<boolean> }[] = []
    client.addHandler(ProviderEvents.ConfigurationChanged, (details) =>
      heard.push({ keys: details?.flagsChanged, value: client.getBooleanValue(key, false) }),
    )
    await nomaly.request('POST', '/v1/flags', { body: { key, enabled: true } })
    await eventually(async () => heard.some(({ keys }) => JSON.stringify(keys) === JSON.stringify([key])))
    expect(await heard.at(-1)!.value).toBe(true)
  })
})

test('both kinds come out the same for everybody', async () => {
  const [here, there] = [await connect(kinds['on a store']()), await connect(kinds['over HTTP']())]
  for (let index = 0; index < 300; index++) {
    const context = { targetingKey: `user-${index}`, plan: index % 3 === 0 ? 'pro' : 'free' }
    for (const key of ['page', 'part', 'house'])
      expect(await there.getBooleanDetails(key, false, context)).toEqual(
        await here.getBooleanDetails(key, false, context),
      )
  }
})

test('while the server is away flags go on to be evaluated; it is said, and what was missed comes when it is back', async () => {
  await using proxy = await TcpProxy.to(nomaly.url)
  const url = proxy.url(nomaly.url).replace(/\/$/, '')
  const client = await connect(
    NomalyProvider.overHttp({ url, apiKey: nomaly.tenant.key, waitSeconds: 2, staleAfterMs: 200 }),
  )
  const events: string[] = []
  for (const event of [ProviderEvents.Stale, ProviderEvents.ConfigurationChanged])
    client.addHandler(event, () => events.push(event))
  proxy.goAway()
  await eventually(async () => client.providerStatus === ProviderStatus.STALE)
  await nomaly.request('PATCH', '/v1/flags/size', { body: { variants: { a: 99 } } })
  expect(await client.getNumberValue('size', 0)).toBe(12.5)
  proxy.comeBack()
  await eventually(async () => (await client.getNumberValue('size', 0)) === 99)
  await eventually(async () => client.providerStatus === ProviderStatus.READY)
  expect(events).toEqual([ProviderEvents.Stale, ProviderEvents.ConfigurationChanged])
})

test('a program that starts while the server is away gets its flags when that comes', async () => {
  await using proxy = await TcpProxy.to(nomaly.url)
  const url = proxy.url(nomaly.url).replace(/\/$/, '')
  proxy.goAway()
  const provider = NomalyProvider.overHttp({ url, apiKey: nomaly.tenant.key })
  const domain = `test-${domains++}`
  onTestFinished(() => OpenFeature.clearProviders())
  await expect(OpenFeature.setProviderAndWait(domain, provider)).rejects.toThrow()
  const client = OpenFeature.getClient(domain)
  expect(client.providerStatus).toBe(ProviderStatus.ERROR)
  expect(await client.getStringValue('colour', 'mine')).toBe('mine')
  proxy.comeBack()
  await eventually(async () => client.providerStatus === ProviderStatus.READY)
  expect(await client.getStringValue('colour', 'mine')).toBe('blue')
})

test('a wrong key is wrong for good', async () => {
  const provider = NomalyProvider.overHttp({ url: nomaly.url, apiKey: `nomaly_${'a'.repeat(43)}` })
  const domain = `test-${domains++}`
  onTestFinished(() => OpenFeature.clearProviders())
  await expect(OpenFeature.setProviderAndWait(domain, provider)).rejects.toThrow('answered 401')
  expect(OpenFeature.getClient(domain).providerStatus).toBe(ProviderStatus.FATAL)
})
