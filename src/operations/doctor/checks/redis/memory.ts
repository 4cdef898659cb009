import { bytesText } from '../../amounts.ts'
import { type Check, type Finding, ok, warn } from '../../check.ts'

const NEARLY_ALL = 0.9

export const REDIS_MEMORY: Check = {
  name: 'redis-memory',
  on: 'redis',
  looksAt: 'maxmemory, maxmemory-policy (volatile-lru or volatile-ttl), and how full it is.',
  why: 'Floors of the cache and sessions may vanish (decision 14), and cost a query or a sign-in when they do; a Redis that is full, or takes all memory of its machine, costs more.',
  async examine({ info }) {
    const policy = info.get('maxmemory_policy')
    const max = Number(info.get('maxmemory') ?? 0)
    const used = Number(info.get('used_memory') ?? 0)
    const facts = { policy, maxBytes: max, usedBytes: used }
    const found = [...judgeBound(max), ...judgePolicy(policy, max)]
    if (policy === 'noeviction' && max > 0 && used > max * NEARLY_ALL)
      found.push(
        warn(
          `${bytesText(used)} of ${bytesText(max)} are used, and nothing is evicted.`,
          'A full Redis refuses writes: nothing new is cached, and sessions go to PostgreSQL.',
          'Raise maxmemory, or set maxmemory-policy volatile-lru.',
        ),
      )
    if (found.length > 0) return found.map((each) => ({ ...each, facts }))
    return [ok(`${bytesText(used)} of ${bytesText(max)} are used, maxmemory-policy ${policy}.`, facts)]
  },
}

function judgeBound(max: number): Finding[] {
  if (max > 0) return []
  return [
    warn(
      'maxmemory is not set.',
      'It takes memory until its machine has none left, and is then ended by the system.',
      'Set maxmemory, such as to half of the memory of its machine.',
    ),
  ]
}

function judgePolicy(policy: string | undefined, max: number): Finding[] {
  if (policy?.startsWith('allkeys-') === true)
    return [
      warn(
        `maxmemory-policy is ${policy}.`,
        'What has no expiry is evicted too: every answer in the cache of a tenant at once, and what other users of this Redis keep.',
        'Set maxmemory-policy volatile-lru or volatile-ttl.',
      ),
    ]
  if (policy === 'noeviction' && max > 0)
    return [
      warn(
        'maxmemory-policy is noeviction.',
        'A full Redis refuses writes: nothing new is cached, and sessions go to PostgreSQL.',
        'Set maxmemory-policy volatile-lru or volatile-ttl.',
      ),
    ]
  if (policy === 'volatile-random')
    return [
      warn(
        'maxmemory-policy is volatile-random.',
        'Sessions that are used are as likely to go as answers that nobody wants: people are signed out.',
        'Set maxmemory-policy volatile-lru or volatile-ttl.',
      ),
    ]
  return []
}
