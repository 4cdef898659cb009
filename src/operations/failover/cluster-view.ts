import { NomalyError } from '../../errors.ts'

export type MemberRole = 'leader' | 'sync_standby' | 'replica' | 'other'

/** One PostgreSQL of a cluster, as Patroni sees it. */
export interface Member {
  readonly name: string
  readonly role: MemberRole
  /** Whether its PostgreSQL runs. */
  readonly isUp: boolean
  readonly host: string
  readonly port: number
  readonly timeline: number | undefined
  /** Bytes of the write-ahead log behind the leader; `undefined` of the leader itself, and where it is not known. */
  readonly lagBytes: number | undefined
}

/** What `GET /cluster` says. */
export interface ClusterView {
  readonly members: readonly Member[]
  readonly leader: Member | undefined
  /** Patroni is told to keep its hands off. */
  readonly isPaused: boolean
  readonly hasScheduledSwitchover: boolean
}

/** What the cluster does when its leader goes, as `GET /config` says (Patroni manual, Dynamic configuration). */
export interface ClusterSettings {
  readonly ttlMs: number
  readonly loopWaitMs: number
  readonly retryTimeoutMs: number
  /** A standby further behind than this never leads. */
  readonly maximumLagBytes: number
  readonly isSynchronous: boolean
  /** Without a synchronous standby nothing is acknowledged. */
  readonly isStrict: boolean
  /** Goes on without etcd as long as all members answer. */
  readonly hasFailsafe: boolean
}

const MEGABYTE = 1_048_576

/** Reads the answer of `GET /cluster`. @throws NomalyError `unavailable` where it is something else. */
export function toClusterView(answer: unknown): ClusterView {
  const { members: list, pause, scheduled_switchover } = asRecord(answer)
  if (!Array.isArray(list)) throw strange('GET /cluster')
  const members = list.map((entry) => {
    const member = asRecord(entry)
    const { name, role, state, host, port, timeline, lag } = member
    if (typeof name !== 'string') throw strange('GET /cluster')
    return {
      name,
      role: toRole(role),
      isUp: state === 'running' || state === 'streaming' || state === 'in archive recovery',
      host: typeof host === 'string' ? host : '',
      port: typeof port === 'number' ? port : 5432,
      timeline: typeof timeline === 'number' ? timeline : undefined,
      lagBytes: typeof lag === 'number' ? lag : undefined,
    }
  })
  return {
    members,
    leader: members.find(({ role }) => role === 'leader'),
    isPaused: pause === true,
    hasScheduledSwitchover: scheduled_switchover !== undefined,
  }
}

/** Reads the answer of `GET /config`; what is not set has Patroni's own default. */
export function toClusterSettings(answer: unknown): ClusterSettings {
  const config = asRecord(answer)
  const seconds = (name: string, fallback: number): number => Number(config[name] ?? fallback) * 1000
  return {
    ttlMs: seconds('ttl', 30),
    loopWaitMs: seconds('loop_wait', 10),
    retryTimeoutMs: seconds('retry_timeout', 10),
    maximumLagBytes: Number(config['maximum_lag_on_failover'] ?? MEGABYTE),
    isSynchronous: isOn(config['synchronous_mode']),
    isStrict: isOn(config['synchronous_mode_strict']),
    hasFailsafe: isOn(config['failsafe_mode']),
  }
}

/** The answer of `GET /history`: where each timeline ended, in bytes of the write-ahead log. */
export function toTimelineEnds(answer: unknown): ReadonlyMap<number, bigint> {
  if (!Array.isArray(answer)) throw strange('GET /history')
  return new Map(
    answer.map((entry: unknown) => {
      if (!Array.isArray(entry)) throw strange('GET /history')
      return [Number(entry[0]), BigInt(entry[1] as number)] as const
    }),
  )
}

function toRole(role: unknown): MemberRole {
  if (role === 'leader' || role === 'master') return 'leader'
  if (role === 'sync_standby' || role === 'replica') return role
  return 'other'
}

/** YAML lets people write it in several ways. */
function isOn(value: unknown): boolean {
  return value === true || value === 'on' || value === 'true' || value === 1
}

function asRecord(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw strange('Patroni')
  return value as Record<string, unknown>
}

function strange(what: string): NomalyError {
  return new NomalyError('unavailable', `The answer of ${what} is not what Patroni answers.`, {
    hint: 'NOMALY_PATRONI_URLS must name the REST APIs of Patroni, usually on port 8008.',
  })
}
