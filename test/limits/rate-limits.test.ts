import { describe, expect, it } from 'vitest'
import type { Identity } from '../../src/access/identity.ts'
import { networkOf } from '../../src/limits/failed-attempts.ts'
import { MemoryRateCounter } from '../../src/limits/memory-rate-counter.ts'
import { type RateQuotas, rateLimitHeaders, RateLimits, refusal } from '../../src/limits/rate-limits.ts'

const quotas: RateQuotas = {
  rateReadsPerMinute: 3,
  rateWritesPerMinute: 2,
  ratePointsPerMinute: 0,
  rateExpensivePerMinute: 1,
  rateTenantKeys: 2,
}

function who(keyId: string, tenantId = 'tenant'): Identity {
  return {
    scope: { tenantId },
    tenantName: '',
    role: 'admin',
    actor: `key:${keyId}`,
    via: 'key',
    keyId,
    session: undefined,
  }
}

describe('rate limits', () => {
  it('count each class of each key, and all keys of a tenant together', async () => {
    const limits = new RateLimits(new MemoryRateCounter(), quotas)
    const refused = async (key: string, tenant?: string): Promise<string | undefined> =>
      refusal(await limits.take(who(key, tenant), 'writes'))?.message
    expect([await refused('a'), await refused('a')]).toEqual([undefined, undefined])
    expect(await refused('a')).toContain('(writes) by this key')
    expect(refusal(await limits.take(who('a'), 'reads'))).toBeUndefined()
    // What was refused counts for the tenant too: three of four are used.
    expect(await refused('b')).toBeUndefined()
    expect(await refused('b')).toContain('(tenant-writes)')
    expect(await refused('c', 'another tenant')).toBeUndefined()
  })

  it('say how much is left, until when, and when to come back', async () => {
    const limits = new RateLimits(new MemoryRateCounter(), quotas)
    const first = rateLimitHeaders(await limits.take(who('a'), 'writes'))
    expect(first.policy).toBe('"writes";q=2;w=60, "tenant-writes";q=4;w=60')
    expect(first.limit).toMatch(/^"writes";r=1;t=(?:60|59), "tenant-writes";r=3;t=(?:60|59)$/)
    await limits.take(who('a'), 'writes')
    const over = await limits.take(who('a'), 'writes')
    expect(rateLimitHeaders(over).limit).toMatch(/^"writes";r=0;t=/)
    const error = refusal(over)!
    expect(error).toMatchObject({ code: 'rate_limited', httpStatus: 429 })
    expect(error.retryAfterSeconds).toBeGreaterThanOrEqual(59)
  })

  it('are none where they are 0, and change while they are used', async () => {
    const live = { ...quotas }
    const limits = new RateLimits(new MemoryRateCounter(), live)
    expect(await limits.take(who('a'), 'points')).toEqual([])
    for (let i = 0; i < 3; i += 1) await limits.take(who('a'), 'writes')
    expect(refusal(await limits.take(who('a'), 'writes'))).toBeDefined()
    live.rateWritesPerMinute = 100
    expect(refusal(await limits.take(who('a'), 'writes'))).toBeUndefined()
    live.rateTenantKeys = 0
    expect((await limits.take(who('a'), 'writes')).map(({ name }) => name)).toEqual(['writes'])
  })

  it('ask the counter no more for what is refused, until its window ends', async () => {
    let asked = 0
    let nowMs = 0
    const counter = { count: async () => ({ used: (asked += 1), resetMs: 5_000 }) }
    const limits = new RateLimits(counter, { ...quotas, rateTenantKeys: 0 }, () => nowMs)
    for (let i = 0; i < 50; i += 1) await limits.take(who('a'), 'reads')
    expect(asked).toBe(4)
    nowMs = 4_000
    const states = await limits.take(who('a'), 'reads')
    expect(states).toEqual([{ name: 'reads', quota: 3, left: -1, resetMs: 1_000 }])
    nowMs = 5_001
    await limits.take(who('a'), 'reads')
    expect(asked).toBe(5)
  })
})

it.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['::1', '0:0:0:0::/64'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
  ['2001:DB8:0001:2:ffff::', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['fe80::1:2:3:4%eth0', 'fe80:0:0:0::/64'],
])('%s is counted as %s', (ip, network) => expect(networkOf(ip)).toBe(network))
