import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

/** What a process of readers is started with, as JSON in its first argument. */
export interface CrowdOptions {
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly tenantId: string
  readonly sourceId: string
}

/** How many queries were made each time, when so many readers in so many processes missed at once. */
export async function countLoads(
  options: CrowdOptions & { processes: number; readers: number; times: number; signal: AbortSignal },
): Promise<number[]> {
  const { processes, readers, times, signal, ...forChild } = options
  const children = Array.from({ length: processes }, () =>
    fork(join(import.meta.dirname, 'crowd-process.ts'), [JSON.stringify(forChild)], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    }),
  )
  try {
    await Promise.all(children.map((child) => answer(child, signal)))
    const loads: number[] = []
    for (let time = 0; time < times; time++) {
      const order = { key: `crowd ${time}`, readers: readers / processes }
      const counts = children.map((child) => {
        const counted = answer(child, signal)
        child.send(order)
        return counted
      })
      loads.push((await Promise.all(counts)).reduce((sum, count) => sum + count, 0))
    }
    return loads
  } finally {
    for (const child of children) child.kill('SIGKILL')
  }
}

async function answer(child: ChildProcess, signal: AbortSignal): Promise<number> {
  const ended = new AbortController()
  const fail = (): void => ended.abort(new Error('A process of readers ended.'))
  child.once('exit', fail)
  try {
    const [count] = await once(child, 'message', { signal: AbortSignal.any([signal, ended.signal]) })
    return count as number
  } finally {
    child.off('exit', fail)
  }
}
