import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, startTestNomaly, type TestNomaly } from '../support/nomaly.ts'
import { runCli, type CliResult } from './run-cli.ts'

let nomaly: TestNomaly

beforeAll(async () => {
  nomaly = await startTestNomaly({ worker: false })
})

afterAll(() => nomaly[Symbol.asyncDispose]())

function cli(args: readonly string[], input = ''): Promise<CliResult> {
  const env = { NOMALY_URL: nomaly.url, NOMALY_API_KEY: nomaly.tenant.key, DATABASE_URL: nomaly.databaseUrl }
  return runCli(args, { env, input })
}

async function said(...args: string[]): Promise<string> {
  const { code, out, err } = await cli(args)
  expect({ args, code, err }).toEqual({ args, code: 0, err: '' })
  return out
}

// What a test expects of an answer is what it asserts.
// eslint-disable-next-line typescript/no-explicit-any
async function json(...args: string[]): Promise<any> {
  return JSON.parse(await said(...args, '--output', 'json'))
}

test('a flag is made, changed, rolled out, asked and taken back', { timeout: 120_000 }, async () => {
  expect(await said('flags', 'list')).toContain('There are no flags')
  expect(await json('flags', 'create', 'new-page', '-d', 'The new page')).toMatchObject({
    version: 1,
    enabled: false,
  })
  await said('flags', 'set', 'new-page', '-r', 'plan=pro user=ann,bob -> on')
  const rolled = await json('flags', 'rollout', 'new-page', '10%', '-m', 'begin')
  expect(rolled).toMatchObject({
    version: 3,
    enabled: true,
    defaultVariant: 'off',
    rules: [
      { attributes: { plan: ['pro'] }, targetingKeys: ['ann', 'bob'], variant: 'on' },
      { split: [{ variant: 'on', percentage: 10 }] },
    ],
  })
  expect((await json('flags', 'rollout', 'new-page', '33.3')).rules[1]).toEqual({
    split: [{ variant: 'on', percentage: 33.3 }],
  })
  const shown = await said('flags', 'show', 'new-page')
  expect(shown).toContain('1  user=ann,bob plan=pro -> on')
  expect(shown).toContain('2  -> 33.3% on')
  expect(await json('flags', 'evaluate', 'new-page', '-u', 'ann', '-a', 'plan=pro')).toMatchObject({
    value: true,
    reason: 'TARGETING_MATCH',
  })
  expect(await said('flags', 'evaluate', 'new-page')).toContain('ERROR: The flag is split by targeting key')
  expect((await json('flags', 'revert', 'new-page', '-m', 'too fast')).rules[1].split[0].percentage).toBe(10)
  const history = await said('flags', 'history', 'new-page')
  expect(history).toMatch(/5 .* key:admin .*back to 3: too fast/)
  expect(history).toContain('rule 2: -> 10% on → -> 33.3% on')
  await said('flags', 'delete', 'new-page', '--yes')
  expect(await json('flags', 'list')).toEqual([])
  expect(await json('flags', 'revert', 'new-page', '--to', '1')).toMatchObject({ version: 7, enabled: false })
})

test('a flag has variants of its own, and rules from a file', { timeout: 120_000 }, async () => {
  const made = await json(
    'flags',
    'create',
    'size',
    '-t',
    'number',
    '--variant',
    'small=1',
    '--variant',
    'large=20',
    '--on',
  )
  expect(made).toMatchObject({ defaultVariant: 'small', offVariant: null, variants: { small: 1, large: 20 } })
  const rules = [{ attributes: { plan: ['pro'] }, variant: 'large' }]
  const { code } = await cli(
    ['flags', 'set', 'size', '--rules', '-', '--variant', 'huge=100'],
    JSON.stringify(rules),
  )
  expect(code).toBe(0)
  expect(await json('flags', 'show', 'size')).toMatchObject({
    rules,
    variants: { small: 1, large: 20, huge: 100 },
  })
  await said('flags', 'rollout', 'size', '5', '--variant', 'huge')
  await said('flags', 'rollout', 'size', '10', '--variant', 'large')
  expect((await json('flags', 'rollout', 'size', '7', '--variant', 'huge')).rules[1].split).toEqual([
    { variant: 'huge', percentage: 7 },
    { variant: 'large', percentage: 10 },
  ])
})

test.each([
  [['flags', 'show', 'nothing'], 'There is no flag "nothing"'],
  [['flags', 'create', 'Bad'], 'must be 1 to 100 lower-case letters'],
  [['flags', 'create', 'x', '-r', 'plan=pro on'], 'cannot be read from "on" on'],
  [['flags', 'create', 'x', '-r', 'tenant=acme -> on'], 'There is no tenant "acme"'],
  [['flags', 'create', 'x', '-t', 'number', '--variant', 'a=one'], 'must be a number, written as in JSON'],
  [['flags', 'rollout', 'size', '101'], 'is not a percentage from 0 to 100'],
  [['flags', 'rollout', 'size', '10'], 'must be given: one of'],
  [['flags', 'set', 'size'], 'There is nothing to change'],
  [['flags', 'set', 'size', '--on', '--off'], 'on and off at once'],
  [['flags', 'delete', 'size'], 'needs a yes'],
  [['settings', 'set', 'port', '1'], 'There is no live setting "port"'],
  [['settings', 'set', 'log-level', 'loud'], 'must be one of fatal, error'],
  [['settings', 'set', 'slow-statement-ms', '1.5'], 'must be a whole number from 0 to 3600000 ms'],
  [['settings', 'revert', 'commit-timeout-ms'], 'has no version 0'],
] as [string[], string][])('%j is refused with a reason', async (args, reason) => {
  const { code, out, err } = await cli(args)
  expect({ code, out }).toEqual({ code: 1, out: '' })
  expect(err).toContain(reason)
})

test(
  'the flags of the installation are changed on the database, name tenants, and hold on the server at once',
  { timeout: 120_000 },
  async () => {
    const args = ['--installation', '-r', 'tenant=default -> on']
    const made = await json('flags', 'create', 'beta', '--on', '--default', 'off', ...args)
    expect(made).toMatchObject({ rules: [{ tenants: [nomaly.tenant.tenantId], variant: 'on' }] })
    expect(made.changedBy).toMatch(/^operator:/)
    expect(await said('flags', 'show', 'beta', '--installation')).toContain('1  tenant=default -> on')
    expect(await json('flags', 'evaluate', 'beta', '--installation', '--tenant', 'default')).toMatchObject({
      value: true,
    })
    expect(await json('flags', 'evaluate', 'beta', '--installation')).toMatchObject({ value: false })
    expect(await json('flags', 'evaluate', 'beta')).toMatchObject({ value: true, reason: 'TARGETING_MATCH' })
    expect((await json('flags', 'list')).map(({ key }: { key: string }) => key)).not.toContain('beta')
    await said('flags', 'set', 'beta', '--off', '--installation')
    await eventually(async () => (await json('flags', 'evaluate', 'beta')).reason === 'DISABLED')
  },
)

test(
  'a setting is changed, looked at and taken back, and the server feels it',
  { timeout: 120_000 },
  async () => {
    const value = async (): Promise<unknown> =>
      (await nomaly.request('GET', '/v1/settings/slow-statement-ms')).body.value
    expect(await said('settings', 'list')).toContain('slow-statement-ms')
    expect(await json('settings', 'set', 'slow-statement-ms', '500', '-m', 'a slow page')).toMatchObject({
      value: 500,
      default: 2_000,
      isChanged: true,
      version: 1,
    })
    await eventually(async () => (await value()) === 500)
    await said('settings', 'set', 'slow-statement-ms', '250')
    expect(await json('settings', 'revert', 'slow-statement-ms')).toMatchObject({ value: 500, version: 3 })
    expect(await json('settings', 'reset', 'slow-statement-ms')).toMatchObject({
      value: 2_000,
      isChanged: false,
    })
    expect(await json('settings', 'history', 'slow-statement-ms')).toMatchObject([
      { version: 4, value: null },
      { version: 3, value: 500, revertedTo: 1 },
      { version: 2, value: 250 },
      { version: 1, value: 500, note: 'a slow page', changedBy: expect.stringMatching(/^operator:/) },
    ])
    expect(await said('settings', 'get', 'slow-statement-ms')).toContain('0 to 3600000 ms')
    expect(await json('settings', 'revert', 'slow-statement-ms', '--to', '2')).toMatchObject({ value: 250 })
    await eventually(async () => (await value()) === 250)
  },
)
