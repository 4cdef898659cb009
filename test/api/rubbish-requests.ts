import fc from 'fast-check'
import type { AppRoute } from './app-routes.ts'
import type { RawRequest } from './raw-request.ts'
import { type Body, pointBody, spoilt } from './rubbish-bodies.ts'
import { hostileCursor, hostileText, jsonAround, type KnownThings, soundText } from './rubbish-values.ts'

/** Where a request is wrong. */
type Spot = 'path' | 'query' | 'headers' | 'body'

/** Requests to one route, wrong in one spot or in all of them: with two, the first would hide what comes of the second. */
export function rubbishAt(route: AppRoute, key: string, known: KnownThings): fc.Arbitrary<RawRequest> {
  const spots: Spot[] = ['path', 'query', 'query', 'headers', 'body', 'body', 'body']
  return fc
    .oneof(
      { weight: 8, arbitrary: fc.constantFrom(...spots).map((spot) => new Set([spot])) },
      { weight: 1, arbitrary: fc.constant(new Set(spots)) },
    )
    .chain((wrong) =>
      fc.tuple(
        pathOf(route, known, wrong.has('path')),
        queryOf(route, known, wrong.has('query')),
        headersOf(key, wrong.has('headers')),
        bodyOf(route, known, wrong.has('body')),
      ),
    )
    .map(([path, query, headers, body]) => ({
      method: route.method,
      path: path + query,
      headers: { ...body.headers, ...headers },
      body: body.bytes,
    }))
}

const percent = (text: string): string => encodeURIComponent(text.toWellFormed()).replaceAll("'", '%27')

function pathOf(route: AppRoute, known: KnownThings, isWrong: boolean): fc.Arbitrary<string> {
  const parts = route.path.split('/').map((part, index, all): fc.Arbitrary<string> => {
    if (part === '*') return hostileText.map(percent)
    if (!part.startsWith(':')) return fc.constant(part)
    const noun = all[index - 1]!
    const sound =
      noun === 'datasets' ? [known.datasetName, known.datasets] : [known[noun as keyof KnownThings]]
    if (!isWrong) return fc.constantFrom(...sound)
    return fc.oneof(
      { weight: 3, arbitrary: hostileText.map(percent) },
      {
        weight: 1,
        arbitrary: fc.constantFrom(
          '%',
          '%zz',
          '%00',
          '%ff',
          '%c0%ae%c0%ae',
          '%ed%a0%80',
          '..',
          '%2e%2e',
          '%2f',
          ';a=b',
        ),
      },
    )
  })
  return fc.tuple(...parts).map((chosen) => chosen.join('/'))
}

function queryOf(route: AppRoute, known: KnownThings, isWrong: boolean): fc.Arbitrary<string> {
  const parameters = (route.operation?.parameters ?? []).filter((parameter) => parameter.in === 'query')
  const all = route.path === '/sign-in' ? [{ name: 'token', required: true }] : parameters
  const pairs = all.map(({ name, required }) =>
    fc
      .tuple(soundText(name, known), fc.integer({ min: 0, max: 2 }))
      .map(([text, chance]) => (required === true || chance === 0 ? [`${name}=${percent(text)}`] : [])),
  )
  // One of them is replaced, or there is one that nobody knows.
  const wrong = fc.oneof(
    ...all.map(({ name }) => wrongPair(name, known)),
    fc
      .oneof(
        fc.tuple(hostileText, hostileText).map(([name, text]) => `${percent(name)}=${percent(text)}`),
        fc.constantFrom('&&=&', '%', '__proto__=1', 'a=%zz', '?', '#'),
      )
      .map((text) => ({ name: '', pairs: [text] })),
  )
  return fc
    .tuple(fc.tuple(...pairs), isWrong ? wrong : fc.constant({ name: '', pairs: [] }))
    .map(([chosen, { name, pairs: extra }]) => {
      const kept = chosen.flat().filter((pair) => name === '' || !pair.startsWith(`${name}=`))
      const text = [...kept, ...extra].join('&')
      return text === '' ? '' : `?${text}`
    })
}

function wrongPair(name: string, known: KnownThings): fc.Arbitrary<{ name: string; pairs: string[] }> {
  const hostile = name === 'cursor' ? hostileCursor : hostileText
  return fc
    .oneof(
      { weight: 5, arbitrary: hostile.map((text) => [`${name}=${percent(text)}`]) },
      {
        weight: 1,
        arbitrary: fc
          .tuple(soundText(name, known), soundText(name, known))
          .map((both) => both.map((text) => `${name}=${percent(text)}`)),
      },
      {
        weight: 1,
        arbitrary: fc.constantFrom<string[]>(
          [`${name}[]=1`, `${name}[a]=b`],
          [name],
          [`${name}=%ff`],
          [`${name}=`],
        ),
      },
    )
    .map((pairs) => ({ name, pairs }))
}

function headersOf(key: string, isWrong: boolean): fc.Arbitrary<Record<string, string>> {
  const sound = { authorization: `Bearer ${key}` }
  if (!isWrong) return fc.constant(sound)
  return fc.oneof(
    fc.constantFrom<Record<string, string>>(
      {},
      { authorization: '' },
      { authorization: 'Bearer' },
      { authorization: `Basic ${key}` },
      { authorization: `Bearer nomaly_${'a'.repeat(43)}` },
      { authorization: "Bearer ' or 1=1 --" },
      { cookie: `nomaly=session_${'a'.repeat(43)}` },
      { cookie: 'nomaly=%00; =; ;;' },
    ),
    fc
      .constantFrom<Record<string, string>>(
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
        { 'idempotency-key': 'one-of-many' },
        { 'idempotency-key': '"one-of-many"' },
        { 'idempotency-key': '' },
        { 'idempotency-key': "' or 1=1; --" },
        { 'idempotency-key': '\xff' },
        { 'idempotency-key': 'a'.repeat(256) },
        { 'idempotency-key': '"' },
        { 'x-forwarded-host': 'evil.example', 'x-forwarded-for': "' or 1=1" },
        { 'x-http-method-override': 'DELETE' },
        { expect: '100-continue' },
        { host: 'evil.example' },
        { host: '[::' },
        { host: '127.0.0.1:99999' },
        { 'x-long': 'a'.repeat(8_000) },
        { 'x-too-long': 'a'.repeat(20_000) },
      )
      .map((odd) => ({ ...sound, ...odd })),
  )
}

function bodyOf(route: AppRoute, known: KnownThings, isWrong: boolean): fc.Arbitrary<Body> {
  const none = fc.constant<Body>({ headers: {}, bytes: undefined })
  // Some clients send a body along with everything.
  if (route.method === 'GET') return isWrong ? fc.oneof(none, pointBody) : none
  const schema = route.operation?.requestBody?.content['application/json']?.schema
  const json = jsonAround(schema ?? { type: 'object' }, known).map((text) => ({
    headers: { 'content-type': 'application/json' },
    bytes: Buffer.from(text.toWellFormed()),
  }))
  // Without a schema it may be one of those that take points.
  const sound =
    schema === undefined
      ? fc.oneof({ weight: 3, arbitrary: pointBody }, { weight: 1, arbitrary: json })
      : json
  return isWrong ? fc.oneof({ weight: 12, arbitrary: spoilt(sound) }, { weight: 1, arbitrary: none }) : sound
}
