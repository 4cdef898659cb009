import { Type } from 'typebox'
import { Time } from './shared.ts'

export const AlgorithmName = Type.Enum(['auto', 'robust-z', 'ewma', 'seasonal-residual'])
export const Parameters = Type.Record(Type.String({ maxLength: 100 }), Type.Number(), {
  maxProperties: 20,
  description: 'By name, as /v1/algorithms lists them; what is left out has its default',
})
export const Budget = Type.Object(
  {
    alarms: Type.Number({ exclusiveMinimum: 0, maximum: 1_000_000 }),
    perSeconds: Type.Number({ exclusiveMinimum: 0, maximum: 3_153_600_000 }),
  },
  {
    additionalProperties: false,
    description: 'False alarms that are accepted in each series: so many in so many seconds',
  },
)
export const DetectorSettingsBody = {
  algorithm: Type.Optional(AlgorithmName),
  parameters: Type.Optional(Parameters),
  budget: Type.Optional(Budget),
}
export const DetectorBody = Type.Object({
  id: Type.String(),
  name: Type.String(),
  algorithm: AlgorithmName,
  parameters: Type.Record(Type.String(), Type.Number()),
  budget: Type.Object({ alarms: Type.Number(), perSeconds: Type.Number() }),
  createdAt: Time,
})
