import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { type AppRoute, type JsonSchema, listAppRoutes } from './app-routes.ts'
import { digestDatabase } from './database-digest.ts'
import { makeKnownThings } from './known-things.ts'
import { sendRaw } from './raw-request.ts'
import { expectSound } from './refusals.ts'
import { type KnownThings, sampleText } from './rubbish-values.ts'

// Where rubbish.test.ts throws dice, this goes through every parameter and field in turn: all is right but one.

let nomaly: TestNomaly
let client: pg.Client
let routes: AppRoute[]

beforeAll(async () => {
  nomaly = await startTestNomaly({ worker: false })
  client = new pg.Client({ connectionString: nomaly.database.adminUrl })
  await client.connect()
  routes = await listAppRoutes(nomaly)
})

afterAll(async () => {
  await client.end()
  await nomaly[Symbol.asyncDispose]()
})

/** Texts, as JSON, that no field may take the server down with. */
const WRONG_JSON = [
  '"\\u0000"',
  '"a\\u0000b"',
  '"\\ud800"',
  '"\\udc00a"',
  '""',
  '" "',
  `"${'x'.repeat(10_000)}"`,
  '"💥"',
  '"\'; drop table jobs; --"',
  '"NaN"',
  '"1e400"',
  'null',
  'true',
  '0',
  '-1',
  '0.5',
  '1e308',
  '1e400',
  '2147483648',
  '9007199254740993',
  '[]',
  '{}',
  '[null]',
  '{"a":1}',
  '{"\\u0000":"a"}',
  '{"\\ud800":"a"}',
  '{"":""}',
  '{"__proto__":{}}',
]

const cursorOf = (text: string): string => Buffer.from(text).toString('base64url')
const WRONG_CURSORS = [
  '[]',
  '{}',
  'null',
  '[null]',
  '[-1]',
  '[1.5]',
  '[1e300]',
  '[2147483648]',
  '[9007199254740991]',
  '["\\u0000"]',
  '["\\ud800"]',
  '["2026-01-01 00:00:00+00","------------------------------------"]',
  '["2026-01-01 00:00:00+00","00000000-0000-0000-0000-00000000000"]',
  '["2026-13-01 00:00:00+00","00000000-0000-0000-0000-000000000000"]',
  '["2026-02-30 00:00:00+00","00000000-0000-0000-0000-000000000000"]',
  '["2026-01-01 25:00:00+00","00000000-0000-0000-0000-000000000000"]',
  '["0000-01-01 00:00:00+00","00000000-0000-0000-0000-000000000000"]',
  '["9999-12-31 23:59:59.999999+00","ffffffff-ffff-ffff-ffff-ffffffffffff"]',
].map(cursorOf)

const WRONG_TEXTS = [
  '',
  '%00',
  '%ff',
  '%ed%a0%80',
  '-1',
  '0',
  '1.5',
  '1e400',
  'NaN',
  '9'.repeat(30),
  '2147483648',
  '8640000000000001',
  '-8640000000000001',
  '0000-00-00',
  '9999-12-31T23:59:60Z',
  '2026-02-30',
  '----',
  '%27%3B%20drop%20table%20jobs%3B%20--',
  '{}',
  '[]',
  '%7B%22%5Cu0000%22%3A%22a%22%7D',
  '%7B%22%5Cud800%22%3A%22a%22%7D',
  '%7B%22a%22%3A%22%5Cud800%22%7D',
  'x'.repeat(9_000),
  '%F0%9F%92%A5',
]

test(
  'each field of each body, wrong in each way, is refused or taken, and what is refused leaves nothing behind',
  { timeout: 120_000 },
  async () => {
    const failures: string[] = []
    let tried = 0
    for (const route of routes) {
      const schema = route.operation?.requestBody?.content['application/json']?.schema
      if (schema === undefined) continue
      const things = await makeKnownThings(nomaly, client)
      let before = await digestDatabase(client)
      for (const sound of soundBodies(schema, things))
        for (const place of placesOf(sound))
          for (const wrong of WRONG_JSON) {
            tried += 1
            const { status } = await tryOut(
              failures,
              route,
              pathWith(route, things),
              replaceAt(sound, place, wrong),
            )
            const after = await digestDatabase(client)
            if (status >= 400 && after !== before)
              failures.push(
                `${route.method} ${route.path} left something behind with ${wrong} at ${place.join('.')}`,
              )
            before = after
          }
    }
    expect(failures.join('\n')).toBe('')
    expect(tried).toBeGreaterThan(500)
  },
)

test(
  'each parameter of each query and path, wrong in each way, is refused or taken, and changes nothing',
  { timeout: 120_000 },
  async () => {
    const failures: string[] = []
    let tried = 0
    for (const route of routes) {
      const things = await makeKnownThings(nomaly, client)
      const path = pathWith(route, things)
      const needed = (route.operation?.parameters ?? []).filter((parameter) => parameter.in === 'query')
      const pairs = needed
        .filter(({ required }) => required)
        .map(({ name }) => `${name}=${sampleText(name, things)}`)
      const before = await digestDatabase(client)
      for (const { name } of needed)
        for (const text of name === 'cursor' ? [...WRONG_CURSORS, ...WRONG_TEXTS] : WRONG_TEXTS) {
          tried += 1
          const kept = pairs.filter((pair) => !pair.startsWith(`${name}=`))
          if (route.method === 'GET')
            await tryOut(failures, route, `${path}?${[...kept, `${name}=${text}`].join('&')}`)
        }
      if (route.method === 'GET')
        for (const [, name] of route.path.matchAll(/:(\w+)/g))
          for (const text of WRONG_TEXTS) {
            tried += 1
            await tryOut(failures, route, `${pathWith(route, things, { [name!]: text })}?${pairs.join('&')}`)
          }
      if ((await digestDatabase(client)) !== before)
        failures.push(`${route.method} ${route.path} changed something`)
    }
    expect(failures.join('\n')).toBe('')
    expect(tried).toBeGreaterThan(700)
  },
)

async function tryOut(
  failures: string[],
  route: AppRoute,
  path: string,
  body?: string,
): Promise<{ status: number }> {
  const answer = await sendRaw(nomaly.url, {
    method: route.method,
    path,
    headers: {
      authorization: `Bearer ${nomaly.tenant.key}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    body: body === undefined ? undefined : Buffer.from(body),
  })
  try {
    expectSound(answer, `${route.method} ${path.slice(0, 200)} ${body?.slice(0, 300) ?? ''}`)
  } catch (error) {
    failures.push((error as Error).message)
  }
  return answer
}

function pathWith(
  route: AppRoute,
  things: KnownThings,
  wrong: Readonly<Record<string, string>> = {},
): string {
  return route.path
    .split('/')
    .map((part, index, all) =>
      part.startsWith(':') ? (wrong[part.slice(1)] ?? things[all[index - 1] as keyof KnownThings]) : part,
    )
    .join('/')
    .replace('*', 'anything')
}

/** Bodies that the schema takes, each alternative of it once, with every field that there is. */
function soundBodies(schema: JsonSchema, things: KnownThings): unknown[] {
  const sound = sample(schema, things, '')
  // A detector of one's own and one that exists exclude each other.
  if (typeof sound === 'object' && sound !== null && 'detectorId' in sound) {
    const { detectorId: _id, ...own } = sound as Record<string, unknown>
    const { detector: _own, ...existing } = sound as Record<string, unknown>
    const cron = { kind: 'cron', cron: '0 0 1 1 *', timeZone: 'UTC' }
    return [own, existing, { ...existing, schedule: cron }]
  }
  return [sound]
}

function sample(schema: JsonSchema, things: KnownThings, field: string): unknown {
  const choices = schema['anyOf'] as JsonSchema[] | undefined
  if (choices !== undefined) return sample(choices[0]!, things, field)
  if (schema['const'] !== undefined) return schema['const']
  if (Array.isArray(schema['enum'])) return schema['enum'][0]
  switch (schema['type']) {
    case 'object': {
      const properties = Object.entries((schema['properties'] ?? {}) as Record<string, JsonSchema>)
      return Object.fromEntries(properties.map(([name, value]) => [name, sample(value, things, name)]))
    }
    case 'array':
      return [sample(schema['items'] as JsonSchema, things, field)]
    case 'integer':
      return field === 'seriesIds' ? Number(things.series) : 60
    case 'number':
      return 1
    default:
      return sampleText(field, things)
  }
}

type Place = readonly (string | number)[]

/** The whole, and every value in it. */
function placesOf(value: unknown, here: Place = []): Place[] {
  if (typeof value !== 'object' || value === null) return [here]
  return [here, ...Object.entries(value).flatMap(([key, item]) => placesOf(item, [...here, key]))]
}

/** The JSON text with another text in one place. */
function replaceAt(value: unknown, place: Place, text: string): string {
  const [key, ...rest] = place
  if (key === undefined) return text
  const entries = Object.entries(value as object).map(([name, item]): [string, string] => [
    name,
    name === key ? replaceAt(item, rest, text) : JSON.stringify(item),
  ])
  return Array.isArray(value)
    ? `[${entries.map(([, item]) => item).join(',')}]`
    : `{${entries.map(([name, item]) => `${JSON.stringify(name)}:${item}`).join(',')}}`
}
