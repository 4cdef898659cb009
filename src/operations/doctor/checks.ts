import type { Check } from './check.ts'
import { CLOCK } from './checks/clock.ts'
import { CONNECTIONS } from './checks/connections.ts'
import { DISK } from './checks/disk.ts'
import { DURABILITY } from './checks/durability.ts'
import { EXTENSIONS } from './checks/extensions.ts'
import { LOCKS } from './checks/locks.ts'
import { LOG_PRIVACY } from './checks/log-privacy.ts'
import { LONG_TRANSACTIONS } from './checks/long-transactions.ts'
import { MIGRATIONS } from './checks/migrations.ts'
import { REACH } from './checks/reach.ts'
import { REDIS_MEMORY } from './checks/redis/memory.ts'
import { REDIS_PERSISTENCE } from './checks/redis/persistence.ts'
import { REDIS_REACH } from './checks/redis/reach.ts'
import { REPLICATION_LAG } from './checks/replication-lag.ts'
import { REPLICATION_SLOTS } from './checks/replication-slots.ts'
import { SECRETS } from './checks/secrets.ts'
import { TEXT_AND_TIME } from './checks/text-and-time.ts'
import { VACUUM } from './checks/vacuum.ts'
import { VERSION } from './checks/version.ts'
import { WRAPAROUND } from './checks/wraparound.ts'
import { WRITE_AHEAD_LOG } from './checks/write-ahead-log.ts'

/** Everything that `nomaly doctor` looks at, in the order of its report. */
export const CHECKS: readonly Check[] = [
  REACH,
  VERSION,
  MIGRATIONS,
  EXTENSIONS,
  CONNECTIONS,
  LOCKS,
  DURABILITY,
  REPLICATION_LAG,
  REPLICATION_SLOTS,
  WRITE_AHEAD_LOG,
  LONG_TRANSACTIONS,
  VACUUM,
  WRAPAROUND,
  CLOCK,
  TEXT_AND_TIME,
  LOG_PRIVACY,
  REDIS_REACH,
  REDIS_MEMORY,
  REDIS_PERSISTENCE,
  DISK,
  SECRETS,
]
