import fc from 'fast-check'
import { expect, test } from 'vitest'

import { NomalyError } from '../../src/errors.ts'
import { describeRedis, parseRedisUrl, tlsOptions } from '../../src/redis/address.ts'

test.each([
  [
    'redis://localhost',
    { kind: 'single', nodes: [{ host: 'localhost', port: 6379 }], database: 0, credentials: {} },
  ],
  [
    'redis://us%40er:p%3Aa%2Fss@10.0.0.1:6380/3',
    {
      kind: 'single',
      nodes: [{ host: '10.0.0.1', port: 6380 }],
      database: 3,
      credentials: { username: 'us@er', password: 'p:a/ss' },
    },
  ],
  ['redis://:only@h', { credentials: { password: 'only' } }],
  ['redis://[::1]:7000', { nodes: [{ host: '::1', port: 7000 }] }],
  [
    'rediss://h?ca=/etc/ca.pem&cert=/c.pem&key=/k.pem&servername=redis.internal',
    { tls: { ca: '/etc/ca.pem', cert: '/c.pem', key: '/k.pem', servername: 'redis.internal' } },
  ],
  ['rediss://h', { kind: 'single', tls: {} }],
  [
    'redis+sentinel://user:password@h1:26380,h2/my-master/2?sentinel-user=s&sentinel-password=t',
    {
      kind: 'sentinel',
      nodes: [
        { host: 'h1', port: 26380 },
        { host: 'h2', port: 26379 },
      ],
      master: 'my-master',
      database: 2,
      credentials: { username: 'user', password: 'password' },
      sentinelCredentials: { username: 's', password: 't' },
    },
  ],
  ['rediss+sentinel://h/m', { kind: 'sentinel', master: 'm', database: 0, tls: {} }],
  [
    'rediss+cluster://u:p@h1:7000,[fe80::2]:7001',
    {
      kind: 'cluster',
      nodes: [
        { host: 'h1', port: 7000 },
        { host: 'fe80::2', port: 7001 },
      ],
      tls: {},
    },
  ],
])('%s', (url, expected) => {
  expect(parseRedisUrl(url)).toMatchObject(expected)
})

test.each([
  ['', 'is not a Redis URL'],
  ['http://h', 'is not a Redis URL'],
  ['redis+other://h', 'is not a Redis URL'],
  ['redis://', 'names no host'],
  ['redis://h:0', 'has a port that is not from 1 to 65535'],
  ['redis://h:65536', 'has a port that is not from 1 to 65535'],
  ['redis://h:x', '"h:x" is not a host'],
  ['redis://h1,', '"" is not a host'],
  ['redis://h1,h2', 'names several hosts'],
  ['redis://h/x', '"x" is not the number of a database'],
  ['redis://h/0/1', 'more in its path'],
  ['redis://user@h', 'has a user but no password'],
  ['redis://u:%zz@h', 'two hexadecimal digits'],
  ['redis://h?tls=1', 'unknown parameter "tls"'],
  ['redis://h?ca=/ca.pem', 'write rediss instead of redis'],
  ['rediss://h?cert=/c.pem', 'needs both'],
  ['redis+sentinel://h', 'names no master'],
  ['redis+sentinel://h/m/0/x', 'more in its path'],
  ['redis+cluster://h/1', 'no database but 0'],
  ['redis://h?sentinel-user=x', 'is not redis+sentinel://'],
])('%s: %s', (url, reason) => {
  expect(() => parseRedisUrl(url)).toThrow(reason)
  expect(() => parseRedisUrl(url)).toThrow(NomalyError)
})

test('a password that is not encoded is not shown', () => {
  const secret = fc.stringMatching(/^[a-z]{6,9}[@/?#:,%[\]][a-z]{6,9}$/)
  const scheme = fc.constantFrom('redis', 'rediss+sentinel', 'redis+cluster')
  fc.assert(
    fc.property(secret, scheme, (password, form) => {
      try {
        const address = parseRedisUrl(`${form}://user:${password}@host:6379/0`)
        expect(describeRedis(address)).not.toContain(password)
      } catch (error) {
        const { message, hint, problems } = error as NomalyError
        const said = JSON.stringify({ message, hint, problems })
        for (const part of password.split(/[^a-z]/)) expect(said).not.toContain(part)
      }
    }),
  )
})

test('every client has TLS options of its own, and a file that is missing is named', () => {
  const tls = { servername: 'h' }
  expect(tlsOptions(tls)).not.toBe(tlsOptions(tls))
  expect(tlsOptions(tls)).toEqual({ tls: true, servername: 'h' })
  expect(tlsOptions(undefined)).toEqual({})
  expect(() => tlsOptions({ ca: '/no/such/file.pem' })).toThrow(/its ca .*\/no\/such\/file\.pem \(ENOENT\)/)
})

test('a description names hosts and no secret', () => {
  expect(describeRedis(parseRedisUrl('redis://u:secret@[::1]:1/0'))).toBe('[::1]:1')
  expect(describeRedis(parseRedisUrl('redis+sentinel://u:secret@a,b:2/main'))).toBe(
    'a:26379,b:2 (master main of the Sentinels)',
  )
})
