import { METRICS_RELATIONS, type MetricsRelations } from '../../../../metrics/metrics-relations.ts'
import { TIMESCALE_RELATIONS } from '../../../../metrics/timescale-relations.ts'
import type { ProofContext } from '../proof-check.ts'

/** Where the points of the restored metrics are. */
export function relationsOf({ engine }: ProofContext): MetricsRelations {
  return engine.name === 'timescale' ? TIMESCALE_RELATIONS : METRICS_RELATIONS
}
