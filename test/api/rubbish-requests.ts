import fc from 'fast-check'
import type { AppRoute } from './app-routes.ts'
import type { RawRequest } from './raw-request.ts'
import { type Body, pointBody, spoilt } from './rubbish-bodies.ts'
import { hostileCursor, hostileText, jsonAround, type KnownThings, soundText } from './rubbish-values.ts'

/** Requests to one route, more or less wrong. */
export function rubbishAt(route: AppRoute, key: string, known: KnownThings): fc.Arbitrary<RawRequest> {
  return fc
    .tuple(pathOf(route, known), queryOf(route, known), headersOf(route, key), bodyOf(route, known))
    .map(([path, query, headers, body]) => ({
      method: route.method,
      path: path + query,
      headers: { ...body.headers, ...headers },
      body: body.bytes,
    }))
}

const percent = (text: string): string => encodeURIComponent(text.toWellFormed()).replaceAll("'", '%27')

function pathOf(route: AppRoute, known: KnownThings): fc.Arbitrary<string> {
  const parts = route.path.split('/').map((part, index, all): fc.Arbitrary<string> => {
    if (part === '*') return hostileText.map(percent)
    if (!part.startsWith(':')) return fc.constant(part)
    const noun = all[index - 1]!
    const sound = noun === 'datasets' ? [known.datasetName, known.datasets] : [known[noun as keyof KnownThings]]
    return fc.oneof(
      { weight: 8, arbitrary: fc.constantFrom(...sound) },
      { weight: 2, arbitrary: hostileText.map(percent) },
      { weight: 1, arbitrary: fc.constantFrom('%', '%zz', '%00', '%ff', '%c0%ae%c0%ae', '%ed%a0%80', '..', '%2e%2e', '%2f', ';a=b') },
    )
  })
  return fc.tuple(...parts).map((chosen) => chosen.join('/'))
}

function queryOf(route: AppRoute, known: KnownThings): fc.Arbitrary<string> {
  const parameters = (route.operation?.parameters ?? []).filter((parameter) => parameter.in === 'query')
  const hidden = route.path === '/sign-in' ? [{ name: 'token', required: true }] : []
  const pairs = [...parameters, ...hidden].map(({ name, required }) => {
    const value = fc.oneof(
      { weight: 4, arbitrary: soundText(name, known) },
      { weight: 2, arbitrary: name === 'cursor' ? hostileCursor : hostileText },
    )
    const once = value.map((text) => [`${name}=${percent(text)}`])
    return fc.oneof(
      { weight: required === true ? 20 : 3, arbitrary: once },
      { weight: 4, arbitrary: fc.constant<string[]>([]) },
      { weight: 1, arbitrary: fc.tuple(value, value).map((both) => both.map((text) => `${name}=${percent(text)}`)) },
      { weight: 1, arbitrary: value.map((text) => [`${name}[]=${percent(text)}`, `${name}[a]=b`, name, `${name}=%ff`]) },
    )
  })
  const unknown = fc.oneof(
    { weight: 6, arbitrary: fc.constant<string[]>([]) },
    { weight: 1, arbitrary: fc.tuple(hostileText, hostileText).map(([name, text]) => [`${percent(name)}=${percent(text)}`]) },
    { weight: 1, arbitrary: fc.constantFrom(['&&=&'], ['%'], ['__proto__=1'], ['a=%zz'], ['?'], ['#']) },
  )
  return fc.tuple(...pairs, unknown).map((chosen) => {
    const text = chosen.flat().join('&')
    return text === '' ? '' : `?${text}`
  })
}

function headersOf(route: AppRoute, key: string): fc.Arbitrary<Record<string, string>> {
  const authorization = fc.oneof(
    { weight: 20, arbitrary: fc.constant<Record<string, string>>({ authorization: `Bearer ${key}` }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom<Record<string, string>>(
        {},
        { authorization: '' },
        { authorization: 'Bearer' },
        { authorization: `Basic ${key}` },
        { authorization: `Bearer nomaly_${'a'.repeat(43)}` },
        { cookie: `nomaly_browser=browser_${'a'.repeat(43)}` },
        { cookie: 'nomaly_browser=%00; =; ;;' },
      ),
    },
  )
  const oddities = fc.oneof(
    { weight: 6, arbitrary: fc.constant<Record<string, string>>({}) },
    {
      weight: 1,
      arbitrary: fc.constantFrom<Record<string, string>>(
        { accept: 'application/xml' },
        { accept: '\xff' },
        { range: 'bytes=5-1' },
        { 'last-event-id': '-1' },
        { 'last-event-id': '9'.repeat(15) },
        { 'last-event-id': '9'.repeat(30) },
        { 'last-event-id': "1'; --" },
        { 'nomaly-read-after': '1.1.0/0' },
        { 'nomaly-read-after': 'rubbish' },
        { 'if-none-match': '*' },
        { 'x-forwarded-host': 'evil.example', 'x-forwarded-for': "' or 1=1" },
        { 'x-http-method-override': 'DELETE' },
        { expect: '100-continue' },
        { host: 'evil.example' },
        { host: '[::' },
        { host: '127.0.0.1:99999' },
        { 'x-long': 'a'.repeat(8_000) },
      ),
    },
  )
  return fc.tuple(authorization, oddities).map(([one, two]) => ({ ...one, ...two }))
}

function bodyOf(route: AppRoute, known: KnownThings): fc.Arbitrary<Body> {
  const none = fc.constant<Body>({ headers: {}, bytes: undefined })
  if (route.method === 'GET' || route.method === 'HEAD')
    // Some clients send a body along with everything.
    return fc.oneof({ weight: 12, arbitrary: none }, { weight: 1, arbitrary: pointBody })
  const schema = route.operation?.requestBody?.content['application/json']?.schema
  const json = jsonAround(schema ?? { type: 'object' }, known).map((text) => ({
    headers: { 'content-type': 'application/json' },
    bytes: Buffer.from(text.toWellFormed()),
  }))
  // Without a schema it may be one of those that take points.
  const sound = schema === undefined ? fc.oneof(pointBody, pointBody, json) : json
  return fc.oneof({ weight: 12, arbitrary: spoilt(sound) }, { weight: 1, arbitrary: none })
}
