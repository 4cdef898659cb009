import { bytesText, countText, durationText } from '../amounts.ts'
import { type Check, type Finding, hidden, ok, warn } from '../check.ts'

/** Reads leave a standby that lags more than this by themselves. */
const LATE_SECONDS = 10
const LATE_BYTES = 64 * 1024 ** 2

interface Standby {
  readonly name: string
  readonly state: string
  readonly sync: string
  readonly lagSeconds: number | null
  readonly lagBytes: number | null
}

export const REPLICATION_LAG: Check = {
  name: 'replication-lag',
  on: 'server',
  looksAt: 'The standbys that are connected, and how far each is behind.',
  why: 'What a standby lacks is what a failover to it loses, and how old its reads are.',
  async examine({ ask, seesAll }) {
    if (!seesAll) return [hidden('how far standbys are behind')]
    const standbys = await ask<Standby>(
      `select coalesce(nullif(application_name, ''), client_addr::text, 'a standby') as name, state, sync_state as sync,
         extract(epoch from replay_lag)::float8 as "lagSeconds",
         pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end, replay_lsn)::float8
           as "lagBytes"
       from pg_stat_replication where state is distinct from 'backup' order by 1`,
    )
    if (standbys.length === 0) return [ok('No standby is connected.')]
    const late = standbys.flatMap(judge)
    if (late.length > 0) return late
    const most = Math.max(...standbys.map(({ lagBytes }) => lagBytes ?? 0))
    return [
      ok(`${countText(standbys.length, 'standby', 'standbys')}, at most ${bytesText(most)} behind.`, {
        standbys,
      }),
    ]
  },
}

function judge({ name, state, lagSeconds, lagBytes }: Standby): Finding[] {
  if (state !== 'streaming')
    return [
      warn(
        `${name} is not streaming yet (${state}).`,
        'It serves no reads that must be new, and a failover to it loses what it lacks.',
        "Wait until it has caught up; if it does not, look into its server's log.",
      ),
    ]
  if ((lagSeconds ?? 0) < LATE_SECONDS && (lagBytes ?? 0) < LATE_BYTES) return []
  return [
    warn(
      `${name} is ${durationText(lagSeconds ?? 0)} and ${bytesText(lagBytes ?? 0)} behind.`,
      'It is left out of reads until it has caught up, and a failover to it loses what it lacks.',
      'Look for a long query on it that holds up the replay, for its disk, and for the network between.',
    ),
  ]
}
