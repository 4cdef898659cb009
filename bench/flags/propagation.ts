import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Store } from '../../src/store/store.ts'
import { machineMs, type SubscribersMessage, type SubscribersOptions } from './messages.ts'

const FLAG = 'clock'

export interface PropagationOptions {
  readonly store: Store
  readonly databaseUrl: string
  readonly tenantId: string
  readonly processes: number
  /** Of each process. */
  readonly subscribers: number
  readonly changes: number
  readonly everyMs: number
  readonly signal: AbortSignal
}

export interface Propagation {
  /** Of each change, from the call that makes it until the last subscriber of all has seen it; ascending. */
  readonly untilAllMs: readonly number[]
  /** Of each change and each subscriber; ascending. */
  readonly untilEachMs: readonly number[]
  /** Of each change, until its commit was answered; ascending. */
  readonly untilCommittedMs: readonly number[]
}

/** Makes changes in this process and asks others when they saw them. */
export async function measurePropagation(options: PropagationOptions): Promise<Propagation> {
  const { store, tenantId, changes, everyMs, signal } = options
  const scope = { tenantId }
  const definition = { type: 'number', enabled: true, variants: { now: 0 } } as const
  await store.transaction(scope, (unit) => unit.flags.create(FLAG, definition, { actor: 'bench' }))
  const { processes, subscribers, databaseUrl } = options
  const children: ChildProcess[] = []
  try {
    for (let started = 0; started < processes; started++)
      children.push(startProcess({ databaseUrl, tenantId, flag: FLAG, subscribers }))
    await Promise.all(children.map((child) => nextMessage(child, signal)))
    const madeMs: number[] = []
    const committedMs: number[] = []
    for (let change = 1; change <= changes; change++) {
      signal.throwIfAborted()
      madeMs.push(machineMs())
      await store.transaction(scope, (unit) =>
        unit.flags.update(FLAG, { variants: { now: change } }, { actor: 'bench' }),
      )
      committedMs.push(machineMs())
      await sleep(Math.max(0, everyMs - (machineMs() - madeMs.at(-1)!)), undefined, { signal })
    }
    await sleep(2_000, undefined, { signal })
    const seen = (await Promise.all(children.map((child) => askSeen(child, signal)))).flat()
    const each = seen.flatMap((times) => {
      if (times.length !== changes) throw new Error(`A subscriber saw ${times.length} of ${changes} changes.`)
      return times.map((time, index) => time - madeMs[index]!)
    })
    return {
      untilAllMs: ascending(
        madeMs.map((made, index) => Math.max(...seen.map((times) => times[index]!)) - made),
      ),
      untilEachMs: ascending(each),
      untilCommittedMs: ascending(committedMs.map((committed, index) => committed - madeMs[index]!)),
    }
  } finally {
    for (const child of children) child.kill('SIGKILL')
  }
}

/** The smallest value that this part of all is not above. */
export function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(part * sorted.length) - 1)]!
}

function startProcess(options: SubscribersOptions): ChildProcess {
  return fork(join(import.meta.dirname, 'subscribers.ts'), [JSON.stringify(options)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
}

async function askSeen(child: ChildProcess, signal: AbortSignal): Promise<readonly (readonly number[])[]> {
  const answer = nextMessage(child, signal)
  child.send({})
  const message = await answer
  if (message.kind !== 'seen') throw new Error('A process with subscribers did not say what it saw.')
  return message.atMs
}

async function nextMessage(child: ChildProcess, signal: AbortSignal): Promise<SubscribersMessage> {
  const ended = new AbortController()
  const fail = (): void => ended.abort(new Error('A process with subscribers ended.'))
  child.once('exit', fail)
  try {
    const [message] = await once(child, 'message', { signal: AbortSignal.any([signal, ended.signal]) })
    return message as SubscribersMessage
  } finally {
    child.off('exit', fail)
  }
}

function ascending(values: readonly number[]): number[] {
  return values.toSorted((a, b) => a - b)
}
