import { Type } from 'typebox'
import { NullableTime, Time } from './shared.ts'

export const SeverityName = Type.Enum(['low', 'medium', 'high', 'critical'])
export const AnomalyStateName = Type.Enum(['open', 'acknowledged', 'resolved', 'dismissed'])

/** What a detector found, whether it is stored or not. */
export const findingFields = {
  metric: Type.String(),
  tags: Type.Record(Type.String(), Type.String()),
  startedAt: Time,
  endedAt: Time,
  detectedAt: Time,
  peakAt: Time,
  observed: Type.Number({ description: 'At the peak, like the next three' }),
  expected: Type.Number(),
  lower: Type.Number(),
  upper: Type.Number(),
  score: Type.Number({ description: '0 to 1, growing with rarity, at the peak' }),
  detectedScore: Type.Number({ description: 'The same at the moment of the alarm' }),
  probability: Type.Number({ description: 'Of a point at least this extreme while all is well' }),
  severity: SeverityName,
  direction: Type.Enum(['above', 'below', 'pattern']),
  algorithm: Type.String(),
  explanation: Type.String(),
  ongoing: Type.Boolean({ description: 'Later points may still extend it' }),
}

export const AnomalyBody = Type.Object({
  id: Type.String(),
  jobId: Type.String(),
  runId: Type.String(),
  datasetId: Type.String(),
  datasetName: Type.String(),
  seriesId: Type.Integer(),
  ...findingFields,
  state: AnomalyStateName,
  note: Type.Union([Type.String(), Type.Null()]),
  stateChangedAt: NullableTime,
  stateChangedBy: Type.Union([Type.String(), Type.Null()]),
  createdAt: Time,
})
