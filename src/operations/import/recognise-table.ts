import type { Noun } from './source.ts'

/** The columns that a table must have to be taken for a noun; of alternatives, one. */
interface Shape {
  readonly noun: Noun
  readonly tables: readonly string[]
  readonly needs: readonly (readonly string[])[]
}

const SHAPES: readonly Shape[] = [
  { noun: 'tenants', tables: ['tenants'], needs: [['id'], ['name']] },
  { noun: 'users', tables: ['users'], needs: [['id'], ['email'], ['username']] },
  {
    noun: 'grants',
    tables: ['user_roles', 'user_tenant_roles'],
    needs: [['user_id'], ['tenant_id'], ['role_id', 'role', 'role_name']],
  },
  {
    noun: 'results',
    tables: ['detection_results'],
    needs: [['id'], ['detector_id'], ['dataset_id'], ['scores', 'anomaly_scores']],
  },
  { noun: 'detectors', tables: ['detectors'], needs: [['id'], ['algorithm', 'algorithm_name']] },
  { noun: 'datasets', tables: ['datasets'], needs: [['id'], ['name']] },
  { noun: 'metrics', tables: ['metrics'], needs: [['id'], ['name'], ['value'], ['timestamp']] },
  { noun: 'records', tables: ['training_jobs'], needs: [['job_id'], ['status']] },
  {
    noun: 'records',
    tables: ['roles', 'audit_logs', 'security_events', 'model_versions', 'data_lineage'],
    needs: [['id']],
  },
]

/** Tables of the original that are left out on purpose, and why. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  user_sessions: 'sessions of the original are worth nothing here',
  api_keys: 'keys of the original do not open this product; make new ones with `nomaly keys create`',
  alembic_version: 'says nothing that could be trusted',
}

/** What a table of the original is, by its columns: versions and file names lie. A text says why it is left out. */
export function recogniseTable(
  name: string,
  columns: ReadonlySet<string>,
): { readonly noun: Noun } | { readonly reason: string; readonly isKnown: boolean } {
  const reason = LEFT_OUT[name]
  if (reason !== undefined) return { reason, isKnown: true }
  const shape = SHAPES.find(({ tables }) => tables.includes(name))
  if (shape === undefined) return { reason: 'is no table of Pynomaly', isKnown: false }
  const missing = shape.needs.filter((names) => !names.some((column) => columns.has(column)))
  if (missing.length === 0) return { noun: shape.noun }
  const list = missing.map((names) => names.join(' or ')).join(', ')
  return { reason: `has no column ${list}`, isKnown: false }
}

/** What the entries of a JSON store are, by their fields. */
export function recogniseEntries(fields: ReadonlySet<string>): Noun | undefined {
  const has = (...names: string[]): boolean => names.some((name) => fields.has(name))
  if (has('detector_id') && has('dataset_id') && has('scores', 'anomaly_scores')) return 'results'
  if (has('algorithm', 'algorithm_name')) return 'detectors'
  if (has('name') && has('id', 'created_at', 'features', 'file_path')) return 'datasets'
  return undefined
}
