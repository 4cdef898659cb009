import { keepAwake } from '../awake-processors.ts'
import { median } from '../checks.ts'
import { type AnswerRow, inTurn, type Question, type QuestionId, requireSame } from './question.ts'
import type { Side } from './side.ts'

export interface AskOptions {
  /** The first one's answers are those that the others' have to be. */
  readonly sides: readonly Side[]
  readonly questions: readonly Question[]
  readonly runs: number
  readonly signal: AbortSignal
  readonly progress: (message: string) => void
  readonly log: (message: string) => void
}

/** Medians over the runs. */
export interface AnswerTimes {
  /** Milliseconds of one question to one side. */
  ms(side: Side, question: QuestionId): number
  /** How many times faster `side` answered than `other`, compared within each run. */
  timesFaster(side: Side, other: Side, question: QuestionId): number
}

/** A question that takes less is asked again and again for so long, and the median of that counts. */
const SHORTEST_MS = 150

/** Asks all sides the same questions in turn, and holds all answers against those of the first side. */
export async function askSideBySide(options: AskOptions): Promise<AnswerTimes> {
  const { sides, questions, runs, signal, progress, log } = options
  using _awake = keepAwake(log)
  const times = new Map<string, number[]>()
  const keyOf = (side: Side, id: QuestionId): string => `${side.name} ${id}`
  for (const question of questions) {
    let expected: readonly AnswerRow[] | undefined
    for (const side of sides) {
      signal.throwIfAborted()
      const answer = await side.ask(question)
      expected ??= answer
      if (expected.length === 0) throw new Error(`There is no answer to "${question.title}".`)
      requireSame(`"${question.title}" of ${side.name}`, answer, expected)
      await elapsedMs(side, question)
    }
    for (let run = 1; run <= runs; run++) {
      progress(`${question.title}: run ${run} of ${runs}`)
      for (const side of sides) {
        signal.throwIfAborted()
        const list = times.get(keyOf(side, question.id)) ?? []
        times.set(keyOf(side, question.id), list)
        list.push(await elapsedMs(side, question))
      }
    }
  }
  const of = (side: Side, id: QuestionId): number[] => times.get(keyOf(side, id))!
  return {
    ms: (side, id) => median(of(side, id)),
    timesFaster: (side, other, id) => median(of(side, id).map((ms, run) => of(other, id)[run]! / ms)),
  }
}

async function elapsedMs(side: Side, question: Question): Promise<number> {
  const elapsed: number[] = []
  const begin = performance.now()
  do {
    const turn = inTurn(question, elapsed.length)
    const start = performance.now()
    await side.ask(turn)
    elapsed.push(performance.now() - start)
  } while (performance.now() - begin < SHORTEST_MS)
  return median(elapsed)
}
