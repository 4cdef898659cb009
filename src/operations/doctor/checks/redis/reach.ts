import { type Check, fail, ok, warn } from '../../check.ts'

export const REDIS_REACH: Check = {
  name: 'redis-reach',
  on: 'redis',
  looksAt: 'Whether Redis answers, its version, and how quickly, against NOMALY_REDIS_TIMEOUT_MS.',
  why: 'Everything works without it, more slowly.',
  async examine({ info, answeredInMs }, { config }) {
    const valkey = info.get('valkey_version')
    const version = valkey ?? info.get('redis_version') ?? '0'
    const label = `${valkey === undefined ? 'Redis' : 'Valkey'} ${version}`
    const facts = { version, isValkey: valkey !== undefined, answeredInMs }
    if (Number.parseInt(version, 10) < 7)
      return [
        fail(
          `${label} is too old.`,
          'The product needs Redis 7 or Valkey: what it sends is refused, and everything goes to PostgreSQL.',
          'Upgrade it.',
          facts,
        ),
      ]
    const says = `${label} answers within ${Number(answeredInMs.toFixed(1))} ms.`
    if (answeredInMs < config.redisTimeoutMs / 5) return [ok(says, facts)]
    return [
      warn(
        `${says} The limit is ${config.redisTimeoutMs} ms.`,
        'After a few answers that take longer than the limit it is left alone for a while.',
        'Put it nearer, look at what else it does (`SLOWLOG GET`), or raise NOMALY_REDIS_TIMEOUT_MS.',
        facts,
      ),
    ]
  },
}
