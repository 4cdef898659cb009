import { expect, test } from 'vitest'
import { trustedProxies } from '../../src/api/trusted-proxies.ts'

test('trusted proxies are addresses and networks', () => {
  expect(trustedProxies('')).toBe(false)
  expect(trustedProxies(' 10.0.0.7, fd00::/8,192.168.4.0/24 ,')).toEqual([
    '10.0.0.7',
    'fd00::/8',
    '192.168.4.0/24',
  ])
})

test.each(['all', '10.0.0', '10.0.0.0/33', '::1/129', '10.0.0.0/8/8', '10.0.0.0/'])(
  '%s is none of them',
  (part) => {
    expect(() => trustedProxies(`10.0.0.7,${part}`)).toThrow(
      expect.objectContaining({ code: 'invalid_input', message: expect.stringContaining(`"${part}"`) }),
    )
  },
)
