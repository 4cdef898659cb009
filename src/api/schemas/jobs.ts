import { Type } from 'typebox'
import { DetectorBody } from './detectors.ts'
import { NullableTime, Tags, Time } from './shared.ts'

export const ScheduleBody = Type.Union(
  [
    Type.Object({ kind: Type.Literal('once') }, { additionalProperties: false }),
    Type.Object(
      {
        kind: Type.Literal('cron'),
        cron: Type.String({ minLength: 9, maxLength: 100, description: 'Five fields, such as */5 * * * *' }),
        timeZone: Type.Optional(
          Type.String({ minLength: 1, maxLength: 100, description: 'IANA name; UTC unless given' }),
        ),
      },
      { additionalProperties: false },
    ),
    Type.Object({ kind: Type.Literal('streaming') }, { additionalProperties: false }),
  ],
  { description: 'once, by a cron expression, or as points arrive' },
)
export const SelectorBody = Type.Object(
  { metric: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })), tags: Type.Optional(Tags) },
  { additionalProperties: false, description: 'Which series of the dataset; all of them unless given' },
)
export const RunBody = Type.Object({
  id: Type.String(),
  jobId: Type.String(),
  status: Type.Enum(['pending', 'running', 'completed', 'failed', 'cancelled']),
  attempt: Type.Integer(),
  seriesTotal: Type.Integer(),
  seriesDone: Type.Integer(),
  pointsScanned: Type.Integer(),
  anomaliesFound: Type.Integer(),
  createdAt: Time,
  startedAt: NullableTime,
  finishedAt: NullableTime,
  error: Type.Union([
    Type.Object({ message: Type.String(), hint: Type.Union([Type.String(), Type.Null()]) }),
    Type.Null(),
  ]),
})
export const JobStatus = Type.Enum(['pending', 'running', 'completed', 'failed', 'cancelled', 'paused'])
export const JobBody = Type.Object({
  id: Type.String(),
  name: Type.String(),
  datasetId: Type.String(),
  datasetName: Type.String(),
  detector: DetectorBody,
  schedule: ScheduleBody,
  selector: SelectorBody,
  status: JobStatus,
  createdAt: Time,
  updatedAt: Time,
  lastRun: Type.Union([RunBody, Type.Null()]),
  openAnomalies: Type.Integer(),
})
