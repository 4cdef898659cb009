import type { WriteAccount } from './account-writes.ts'
import type { DrillPlan } from './drill-plan.ts'
import type { FindingsAccount } from './findings-watch.ts'

/** What was seen and counted in a drill. Times are milliseconds; moments are epoch milliseconds. */
export interface DrillOutcome {
  readonly counters: WriteAccount
  readonly points: WriteAccount
  /** Of writes straight to the former leader. */
  readonly straight: WriteAccount
  /** Longest time without an acknowledged write, of counters and of points; `undefined` where none was acknowledged any more. */
  readonly pauseMs: { readonly counters: number | undefined; readonly points: number | undefined }
  readonly reads: {
    readonly answered: number
    readonly refused: number
    readonly longestPauseMs: number
    /** Own acknowledged writes, there in the end, that a later read did not see. */
    readonly stale: number
  }
  readonly findings: FindingsAccount
  /** By code; whatever has no code should not happen. */
  readonly errors: Readonly<Record<string, number>>
  readonly isReplicationCut: boolean
  readonly walBytesPerSecond: number
  /** What may be lost, as was said before the blow; and what was. */
  readonly lossBoundBytes: number
  readonly lostBytes: number | undefined
  readonly leaderBefore: string
  readonly leaderAfter: string | undefined
  /** From the blow until every member followed one leader again; `undefined` where that did not happen in time. */
  readonly wholeAfterMs: number | undefined
}

export interface DrillCheck {
  readonly name: string
  readonly passed: boolean
  readonly detail: string
}

export interface DrillVerdict {
  readonly passed: boolean
  readonly checks: readonly DrillCheck[]
}

/** The time to the next write: of the slower of the two kinds. */
export function timeToNextWriteMs({ pauseMs }: Pick<DrillOutcome, 'pauseMs'>): number | undefined {
  const { counters, points } = pauseMs
  return counters === undefined || points === undefined ? undefined : Math.max(counters, points)
}

/** Says of each promise whether it was kept. */
export function judgeDrill(
  plan: Pick<DrillPlan, 'preset' | 'maxPauseMs' | 'kind'>,
  outcome: DrillOutcome,
): DrillVerdict {
  const checks = [
    judgeLoss(plan, outcome),
    judgeStraight(plan, outcome),
    judgeOnce(outcome),
    judgePause(plan, outcome),
    judgeReads(outcome),
    judgeFindings(plan, outcome),
    judgeErrors(outcome),
    judgeWhole(outcome),
  ]
  return { passed: checks.every(({ passed }) => passed), checks }
}

function judgeLoss({ preset }: Pick<DrillPlan, 'preset'>, outcome: DrillOutcome): DrillCheck {
  const { counters, points, lossBoundBytes, lostBytes } = outcome
  const acknowledged = counters.acknowledged + points.acknowledged
  const missing = counters.missing + points.missing
  const name = 'acknowledged writes are there'
  if (missing === 0)
    return {
      name,
      passed: acknowledged > 0,
      detail: acknowledged > 0 ? `all ${acknowledged}` : 'nothing was acknowledged, so nothing was tried',
    }
  const examples = [...counters.missingExamples, ...points.missingExamples].join(', ')
  const lost = `${missing} of ${acknowledged} are missing (${examples})`
  if (preset === 'never-lose') return { name, passed: false, detail: `${lost}; none may be` }
  return {
    name,
    passed: lostBytes !== undefined && lostBytes <= lossBoundBytes,
    detail: `${lost}: ${lostBytes ?? 'an unknown number of'} bytes of the log, where ${lossBoundBytes} may be lost`,
  }
}

/** Only what never loses promises that a leader who does not know that he is none acknowledges nothing. */
function judgeStraight({ preset }: Pick<DrillPlan, 'preset'>, { straight }: DrillOutcome): DrillCheck {
  const name = 'the former leader acknowledged nothing that is lost'
  if (straight.missing === 0)
    return { name, passed: true, detail: `${straight.acknowledged} written straight to it` }
  return {
    name,
    passed: preset === 'never-stop',
    detail:
      `${straight.missing} of ${straight.acknowledged} written straight to it are missing` +
      (preset === 'never-stop'
        ? '; without synchronous_mode_strict this may be: let no client connect past the balancer'
        : ''),
  }
}

function judgeOnce({ counters, points, straight }: DrillOutcome): DrillCheck {
  const sum = (of: 'doubled' | 'torn' | 'storedThoughRefused' | 'storedUnacknowledged'): number =>
    counters[of] + points[of] + straight[of]
  const wrong = sum('doubled') + sum('torn') + sum('storedThoughRefused')
  return {
    name: 'every write was done once and whole, or not at all',
    passed: wrong === 0,
    detail:
      wrong === 0
        ? `${sum('storedUnacknowledged')} were stored without being acknowledged, and repeating them did no harm`
        : `${sum('doubled')} doubled, ${sum('torn')} in part, ${sum('storedThoughRefused')} stored though refused`,
  }
}

function judgePause(
  { maxPauseMs, kind }: Pick<DrillPlan, 'maxPauseMs' | 'kind'>,
  outcome: DrillOutcome,
): DrillCheck {
  const next = timeToNextWriteMs(outcome)
  const allowed = `${seconds(maxPauseMs)} are allowed`
  const name = kind === 'etcd' ? 'writes do not stop' : 'writes go on'
  if (next === undefined) return { name, passed: false, detail: `none was acknowledged any more; ${allowed}` }
  return { name, passed: next <= maxPauseMs, detail: `after ${seconds(next)}; ${allowed}` }
}

function judgeReads({ reads }: DrillOutcome): DrillCheck {
  return {
    name: 'nobody missed what he had written',
    passed: reads.stale === 0 && reads.answered > 0,
    detail: `${reads.answered} reads answered, ${reads.stale} stale, ${reads.refused} refused; the longest wait was ${seconds(reads.longestPauseMs)}`,
  }
}

/** Where points were lost, what was found in them may be there all the same: a detector reads before the loss and stores after it. */
function judgeFindings(
  { preset }: Pick<DrillPlan, 'preset'>,
  { findings, counters, points }: DrillOutcome,
): DrillCheck {
  const { expected, missed, doubled, unfounded } = findings
  const mayDiffer = preset === 'never-stop' && counters.missing + points.missing > 0
  return {
    name: 'findings are complete, and none is doubled',
    passed: doubled === 0 && expected > 0 && (mayDiffer || missed + unfounded === 0),
    detail: `${expected} expected, ${missed} missed, ${doubled} doubled, ${unfounded} without their points`,
  }
}

function judgeErrors({ errors }: DrillOutcome): DrillCheck {
  const known = Object.entries(errors).filter(([name]) => /^[a-z_]+$/.test(name))
  const strange = Object.entries(errors).filter(([name]) => !/^[a-z_]+$/.test(name))
  const list = (entries: readonly [string, number][]): string =>
    entries.map(([name, times]) => `${times} × ${name}`).join(', ')
  return {
    name: 'errors say what they are',
    passed: strange.length === 0,
    detail: strange.length > 0 ? list(strange) : known.length === 0 ? 'there were none' : list(known),
  }
}

function judgeWhole({ leaderAfter, leaderBefore, wholeAfterMs }: DrillOutcome): DrillCheck {
  const led =
    leaderAfter === leaderBefore ? `${leaderBefore} still leads` : `${leaderAfter ?? 'nobody'} leads now`
  return {
    name: 'the cluster is whole again',
    passed: wholeAfterMs !== undefined,
    detail:
      wholeAfterMs === undefined
        ? `${led}, and not everybody follows`
        : `after ${seconds(wholeAfterMs)}; ${led}`,
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
