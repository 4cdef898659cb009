/** How a column is written, and told from another value when it is read back. */
export type ColumnType =
  | 'uuid'
  | 'text'
  | 'boolean'
  | 'timestamptz'
  | 'float8'
  | 'float8[]'
  | 'boolean[]'
  | 'int4'
  | 'jsonb'

/** A table that imported rows go to. */
export interface TargetTable {
  readonly name: string
  readonly columns: Readonly<Record<string, ColumnType>>
  /** What tells a row from all others. */
  readonly key: readonly string[]
}

const TIMES = { created_at: 'timestamptz', updated_at: 'timestamptz' } as const

export const TARGETS = {
  tenants: {
    name: 'nomaly.tenants',
    columns: { id: 'uuid', name: 'text', created_at: 'timestamptz' },
    key: ['id'],
  },
  users: {
    name: 'nomaly.users',
    columns: {
      tenant_id: 'uuid',
      id: 'uuid',
      email: 'text',
      username: 'text',
      first_name: 'text',
      last_name: 'text',
      status: 'text',
      password_hash: 'text',
      settings: 'jsonb',
      ...TIMES,
      last_login_at: 'timestamptz',
      email_verified_at: 'timestamptz',
    },
    key: ['tenant_id', 'id'],
  },
  grants: {
    name: 'nomaly.role_grants',
    columns: {
      tenant_id: 'uuid',
      user_id: 'uuid',
      role: 'text',
      permissions: 'jsonb',
      granted_at: 'timestamptz',
      granted_by: 'uuid',
      expires_at: 'timestamptz',
    },
    key: ['tenant_id', 'user_id', 'role'],
  },
  datasets: {
    name: 'nomaly.datasets',
    columns: {
      id: 'uuid',
      tenant_id: 'uuid',
      name: 'text',
      description: 'text',
      metadata: 'jsonb',
      ...TIMES,
    },
    key: ['id'],
  },
  detectors: {
    name: 'nomaly.row_detectors',
    columns: {
      id: 'uuid',
      tenant_id: 'uuid',
      name: 'text',
      algorithm: 'text',
      contamination: 'float8',
      parameters: 'jsonb',
      is_fitted: 'boolean',
      trained_at: 'timestamptz',
      metadata: 'jsonb',
      ...TIMES,
    },
    key: ['id'],
  },
  results: {
    name: 'nomaly.row_results',
    columns: {
      id: 'uuid',
      tenant_id: 'uuid',
      dataset_id: 'uuid',
      detector_id: 'uuid',
      scores: 'float8[]',
      confidences: 'float8[]',
      labels: 'boolean[]',
      threshold: 'float8',
      execution_ms: 'float8',
      metadata: 'jsonb',
      created_at: 'timestamptz',
    },
    key: ['id'],
  },
  findings: {
    name: 'nomaly.row_findings',
    columns: {
      tenant_id: 'uuid',
      result_id: 'uuid',
      row_index: 'int4',
      score: 'float8',
      severity: 'text',
    },
    key: ['result_id', 'row_index'],
  },
  records: {
    name: 'nomaly.imported_records',
    columns: { tenant_id: 'uuid', source_table: 'text', source_id: 'text', record: 'jsonb' },
    key: ['tenant_id', 'source_table', 'source_id'],
  },
} as const satisfies Readonly<Record<string, TargetTable>>

/** A row as it is to be stored: texts that PostgreSQL reads, by column. */
export interface TargetRow {
  readonly table: TargetTable
  readonly values: Readonly<Record<string, string | null>>
  /** A column whose value may be taken by another row, and what it is then. */
  readonly named?: { readonly column: string; readonly fallback: string; readonly within: readonly string[] }
}
