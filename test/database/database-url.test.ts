import { describe, expect, test } from 'vitest'
import { loginOf, parseDatabaseUrl, urlForLogin } from '../../src/config/database-url.ts'
import { loadConfig } from '../../src/config/load.ts'

describe('the address of a database', () => {
  test.for([
    ['postgresql://u:p@h1:5433/db', ['h1:5433']],
    ['postgres://u@h1/db', ['h1:5432']],
    ['postgresql://u:p@h1:5432,h2:5433,h3/db?sslmode=require', ['h1:5432', 'h2:5433', 'h3:5432']],
    ['postgresql://[::1]:5433,[fe80::2]/db', ['[::1]:5433', '[fe80::2]:5432']],
    ['postgresql:///db', ['localhost:5432']],
  ] as const)('%s', ([text, names]) => {
    const { hosts, session } = parseDatabaseUrl(text)
    expect(hosts.map(({ name }) => name)).toEqual(names)
    expect(session).toBe('primary')
    expect(hosts.map(({ url }) => new URL(url).pathname)).toEqual(names.map(() => '/db'))
  })

  test('each server has login, database and options of the whole', () => {
    const { hosts } = parseDatabaseUrl('postgresql://u:p%40%2C@h1,h2:5433/db?sslmode=require')
    expect(hosts.map(({ url }) => url)).toEqual([
      'postgresql://u:p%40%2C@h1/db?sslmode=require',
      'postgresql://u:p%40%2C@h2:5433/db?sslmode=require',
    ])
  })

  test('may say that any server will do', () => {
    expect(parseDatabaseUrl('postgresql://h1,h2/db?target_session_attrs=any').session).toBe('any')
    expect(parseDatabaseUrl('postgresql://h1,h2/db?target_session_attrs=read-write').session).toBe('primary')
  })

  test.for([
    'mysql://h/db',
    'h1:5432/db',
    'postgresql://h1:port/db',
    'postgresql://h1,,h2/db',
    'postgresql://h1,:5433/db',
    'postgresql://h1,h2:99999/db',
    'postgresql://h1/db?target_session_attrs=standby',
  ])('%s is refused, without the password in what is said', (text) => {
    const url = text.replace('://', '://me:s3cret@')
    let said = ''
    try {
      loadConfig({ DATABASE_URL: url })
    } catch (error) {
      said = (error as Error).message
    }
    expect(said).toMatch(/DATABASE_URL (is|names|has)/)
    expect(said).not.toContain('s3cret')
  })

  test('keeps its servers for another login', () => {
    const text = 'postgresql://old:word@h1:5433,h2/db?sslmode=require'
    expect(loginOf(text)).toBe('old')
    const other = urlForLogin(text, 'new login', 'p@ss,/?')
    expect(other).toBe('postgresql://new%20login:p%40ss%2C%2F%3F@h1:5433,h2/db?sslmode=require')
    expect(loginOf(other)).toBe('new login')
    expect(loginOf('postgresql://h1/db')).toBe('')
  })
})

test('a variable that is not read any more is an error that names the new ones', () => {
  expect(() => loadConfig({ NOMALY_DATABASE_CONNECTIONS: '20' })).toThrow(/NOMALY_DATABASE_POOL_SIZE/)
})

test('pools are smaller on the embedded server', () => {
  expect(loadConfig({})).toMatchObject({ databasePoolSize: 8, databasePoolOverflow: 12 })
  expect(loadConfig({ DATABASE_URL: 'postgresql://h/db' })).toMatchObject({
    databasePoolSize: 20,
    databasePoolOverflow: 30,
    metricsDatabasePoolSize: 10,
    metricsDatabasePoolOverflow: 20,
    acquireTimeoutMs: 30_000,
    databaseRecycleSeconds: 3_600,
  })
})
