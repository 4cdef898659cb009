import { integer } from './option.ts'

/** How often one may ask, and how long answers to requests that may be repeated are kept. */
export const LIMIT_OPTIONS = {
  rateReadsPerMinute: integer(
    'NOMALY_RATE_READS_PER_MINUTE',
    30_000,
    [0, 100_000_000],
    'requests',
    'How many requests one API key or browser may make in a minute that read; more are refused with 429 and Retry-After. 0 is no limit. Counted over all processes where REDIS_URL is set, by each process for itself otherwise.',
  ),
  rateWritesPerMinute: integer(
    'NOMALY_RATE_WRITES_PER_MINUTE',
    6_000,
    [0, 100_000_000],
    'requests',
    'The same for requests that make or change something, other than points.',
  ),
  ratePointsPerMinute: integer(
    'NOMALY_RATE_POINTS_PER_MINUTE',
    600_000,
    [0, 100_000_000],
    'requests',
    'The same for requests that bring points, whatever their size: that is bounded by NOMALY_MAX_BODY_BYTES and NOMALY_MAX_INGEST_BYTES.',
  ),
  rateExpensivePerMinute: integer(
    'NOMALY_RATE_EXPENSIVE_PER_MINUTE',
    3_000,
    [0, 100_000_000],
    'requests',
    'The same for queries over many series, bands, exports, estimates and detection on the spot.',
  ),
  rateTenantKeys: integer(
    'NOMALY_RATE_TENANT_KEYS',
    4,
    [0, 1_000_000],
    'keys',
    'How many keys may use up their limits before their tenant has used up its own. 0: tenants have none.',
  ),
  rateFailuresPerMinute: integer(
    'NOMALY_RATE_FAILURES_PER_MINUTE',
    300,
    [0, 1_000_000],
    'requests',
    'How many different wrong keys, links and cookies may come from one address (of IPv6, one /64) in a minute; afterwards only credentials that were good before are looked at until the minute is over, and the audit log says so once. 0 is no limit.',
  ),
  idempotencyHours: integer(
    'NOMALY_IDEMPOTENCY_HOURS',
    24,
    [1, 8_760],
    'hours',
    'How long the answer to a request with an Idempotency-Key is kept, to be given again where the request is repeated.',
  ),
} as const
