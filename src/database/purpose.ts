import { AsyncLocalStorage } from 'node:async_hooks'

/** Whose share of the connections something takes. */
export const BUDGETS = ['web', 'work', 'maintenance'] as const
export type Budget = (typeof BUDGETS)[number]

/** What a connection is taken for. */
export interface Purpose {
  readonly budget: Budget
  /** Names the holder in the log, such as a route or a task. Nothing of a tenant's. */
  readonly label: string
}

const current = new AsyncLocalStorage<Purpose>()

/** Has everything that `work` does, however deep, take its connections for this purpose. */
export function withPurpose<T>(purpose: Purpose, work: () => T): T {
  return current.run(purpose, work)
}

/** The purpose of what runs now; `undefined` where nobody has named one. */
export function currentPurpose(): Purpose | undefined {
  return current.getStore()
}
