/** A value of the architecture decision that this product comes from, and what became of it. */
export interface DecidedValue {
  readonly name: string
  readonly value: string
  readonly verdict: 'kept' | 'measured' | 'refused'
  readonly why: string
}

/** The eleven lines of postgresql.conf in ADR-015 (Pynomaly, "PostgreSQL Primary Database Configuration"), in its order. */
export const DECIDED_VALUES: readonly DecidedValue[] = [
  {
    name: 'max_connections',
    value: '200',
    verdict: 'measured',
    why: 'three processes with pools of 20 + 30 and 10 + 20 want 240',
  },
  {
    name: 'shared_buffers',
    value: '256MB',
    verdict: 'measured',
    why: '256 MB is right for 1 GB',
  },
  {
    name: 'effective_cache_size',
    value: '1GB',
    verdict: 'measured',
    why: 'too little keeps the planner from indexes',
  },
  {
    name: 'maintenance_work_mem',
    value: '64MB',
    verdict: 'measured',
    why: 'with too little, vacuum goes over indexes more than once',
  },
  {
    name: 'checkpoint_completion_target',
    value: '0.9',
    verdict: 'kept',
    why: 'as it is anyway since PostgreSQL 14',
  },
  {
    name: 'wal_buffers',
    value: '16MB',
    verdict: 'measured',
    why: 'the same from 512 MB of shared_buffers on',
  },
  {
    name: 'default_statistics_target',
    value: '100',
    verdict: 'kept',
    why: 'as it is anyway',
  },
  {
    name: 'log_statement',
    value: 'all',
    verdict: 'refused',
    why: 'it writes passwords and data to the log, with the statements they stand in',
  },
  {
    name: 'log_duration',
    value: 'on',
    verdict: 'refused',
    why: 'a line for every statement, which says nothing',
  },
  {
    name: 'log_min_duration_statement',
    value: '1000ms',
    verdict: 'refused',
    why: 'it would log slow statements with their values; the product logs them without',
  },
  {
    name: 'track_activity_query_size',
    value: '2048',
    verdict: 'kept',
    why: '1024, as it is otherwise, cuts some statements off',
  },
]
