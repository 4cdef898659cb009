import { Type } from 'typebox'
import { validateDetectorSettings } from '../../detection/algorithms.ts'
import { type DetectedSeries, detectPoints } from '../../workflows/detect-points.ts'
import type { Api } from '../api.ts'
import { untilAbandoned } from '../plugins/abandonment.ts'
import { findingFields } from '../schemas/anomalies.ts'
import { AlgorithmName } from '../schemas/detectors.ts'
import { problems } from '../schemas/shared.ts'
import { readPointBody, type PointLimits } from './points.ts'

/** Points that are looked at within one request. */
const MAX_POINTS = 200_000

const Numbers = Type.Array(Type.Union([Type.Number(), Type.Null()]))

/** Points in, findings out: nothing is stored. */
export function registerDetectRoutes(app: Api, limits: PointLimits): void {
  app.post(
    '/v1/detect',
    {
      config: { permission: 'read' },
      schema: {
        tags: ['detect'],
        summary: 'Look at points without storing them',
        description: 'The same formats as for adding points.',
        querystring: Type.Object({
          algorithm: Type.Optional(AlgorithmName),
          budgetAlarms: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1_000_000 })),
          budgetPerSeconds: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 3_153_600_000 })),
          band: Type.Optional(Type.Boolean({ description: 'Also answer what was expected at each point' })),
        }),
        response: {
          200: Type.Object({
            series: Type.Array(
              Type.Object({
                metric: Type.String(),
                tags: Type.Record(Type.String(), Type.String()),
                points: Type.Integer(),
                detector: Type.Union([
                  Type.Object({ algorithm: Type.String(), reason: Type.String() }),
                  Type.Null(),
                ]),
                findings: Type.Array(Type.Object(findingFields)),
                band: Type.Optional(
                  Type.Object({
                    timesMs: Type.Array(Type.Number()),
                    expected: Numbers,
                    lower: Numbers,
                    upper: Numbers,
                  }),
                ),
              }),
            ),
            rejected: Type.Array(Type.Object({ line: Type.Integer(), reason: Type.String() })),
            rejectedTotal: Type.Integer(),
          }),
          ...problems,
        },
      },
    },
    async (request, reply) => {
      const { algorithm, budgetAlarms, budgetPerSeconds, band = false } = request.query
      const settings = validateDetectorSettings({
        ...(algorithm === undefined ? {} : { algorithm }),
        ...(budgetAlarms === undefined && budgetPerSeconds === undefined
          ? {}
          : { budget: { alarms: budgetAlarms ?? 1, perSeconds: budgetPerSeconds ?? 604_800 } }),
      })
      const points = await readPointBody(request, { ...limits, maxPoints: MAX_POINTS })
      const detected = await detectPoints(points, settings, { band, signal: untilAbandoned(reply) })
      return {
        series: detected.map((series) => presentSeries(series, settings.algorithm)),
        rejected: [...points.rejected],
        rejectedTotal: points.rejectedTotal,
      }
    },
  )
}

// eslint-disable-next-line typescript/explicit-function-return-type -- the type is that of the literal
function presentSeries({ key, timesMs, choice, findings, band }: DetectedSeries, algorithm: string) {
  const tags = { ...key.tags }
  return {
    metric: key.metric,
    tags,
    points: timesMs.length,
    detector: choice ?? null,
    findings: findings.map((finding) => ({
      metric: key.metric,
      tags,
      startedAt: new Date(finding.startMs).toISOString(),
      endedAt: new Date(finding.endMs).toISOString(),
      detectedAt: new Date(finding.detectedMs).toISOString(),
      peakAt: new Date(finding.peakMs).toISOString(),
      observed: finding.observed,
      expected: finding.expected,
      lower: finding.lower,
      upper: finding.upper,
      score: finding.score,
      detectedScore: finding.detectedScore,
      probability: finding.probability,
      severity: finding.severity,
      direction: finding.direction,
      algorithm: choice?.algorithm ?? algorithm,
      explanation: finding.explanation,
      ongoing: finding.open,
    })),
    ...(band === undefined
      ? {}
      : {
          band: {
            timesMs: Array.from(band.timesMs),
            expected: Array.from(band.expected, orNull),
            lower: Array.from(band.lower, orNull),
            upper: Array.from(band.upper, orNull),
          },
        }),
  }
}

function orNull(value: number): number | null {
  return Number.isFinite(value) ? value : null
}
