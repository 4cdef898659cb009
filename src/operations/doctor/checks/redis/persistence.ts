import { type Check, fail, type Finding, ok } from '../../check.ts'

export const REDIS_PERSISTENCE: Check = {
  name: 'redis-persistence',
  on: 'redis',
  looksAt: 'Whether saving to disk, where it is on, works; and whether it is a master.',
  why: 'Nothing that was acknowledged is in Redis alone, so it need not save; one whose saving fails refuses writes.',
  async examine({ info, kind }) {
    const found: Finding[] = []
    if (kind === 'single' && info.get('role') === 'slave')
      found.push(
        fail(
          'It is a replica, which takes no writes.',
          'Nothing is cached, and sessions and limits fall back on PostgreSQL and on each process.',
          'Let REDIS_URL name its master, or the Sentinels (redis+sentinel://…).',
        ),
      )
    if (info.get('rdb_last_bgsave_status') === 'err' || info.get('aof_last_write_status') === 'err')
      found.push(
        fail(
          'It cannot save to its disk.',
          'It refuses writes until it can (stop-writes-on-bgsave-error): nothing new is cached.',
          "Look into its log and at its disk; or turn saving off, which the product does not need (`save ''`, `appendonly no`).",
        ),
      )
    if (found.length > 0) return found
    const saves =
      info.get('aof_enabled') === '1'
        ? 'It appends to a file.'
        : 'It keeps no append-only file; none is needed.'
    return [ok(saves, { appendOnly: info.get('aof_enabled') === '1' })]
  },
}
