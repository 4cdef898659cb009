import type { AnswerRow, Question } from './question.ts'

/** One way to store the workload, and to answer the questions. */
export interface Side extends AsyncDisposable {
  readonly name: string
  ask(question: Question): Promise<AnswerRow[]>
}
