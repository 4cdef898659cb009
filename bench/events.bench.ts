import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Benchmark } from './benchmark.ts'
import { atLeast, atMost, median, reported } from './checks.ts'
import type { ClientAnswer, ClientOrder } from './events/client-process.ts'
import { Producer } from './events/producer.ts'
import { startInstance, type Instance } from './instance.ts'
import { memoryByProgram } from './process-tree.ts'

const PROCESSES = 4
const SIZES = {
  full: { clients: 1_000, perSecond: 500, warmUpSeconds: 20, seconds: 120, awaySeconds: 60 },
  quick: { clients: 200, perSecond: 200, warmUpSeconds: 5, seconds: 30, awaySeconds: 10 },
} as const
/** Of each process: they leave in the middle, and come back. */
const AWAY = 5
const SETTLE_MS = 60_000

/** What listeners to events get: all of it, in order, at once, from a server that does not grow. */
export const events: Benchmark = {
  summary:
    'a thousand listeners hear five hundred events a second each, and some of them are away for a while',
  async run({ quick, directory, signal, log }) {
    const size = quick ? SIZES.quick : SIZES.full
    const { clients, perSecond, warmUpSeconds, seconds, awaySeconds } = size
    await using stack = new AsyncDisposableStack()
    const environment = { NOMALY_SELF_WATCH_SECONDS: '0' }
    const instance = stack.use(
      await startInstance({ dataDirectory: join(directory, 'data'), signal, environment }),
    )
    const processes = Array.from({ length: PROCESSES }, () => startClients(stack))
    const all = (order: ClientOrder): Promise<ClientAnswer[]> =>
      Promise.all(processes.map((child) => tell(child, order)))
    log(`${clients} listeners connect …`)
    const { url, adminKey: key } = instance
    await all({ do: 'connect', url, key, count: clients / PROCESSES })
    const producer = stack.use(await Producer.connect(instance.adminDatabaseUrl, await tenantOf(instance)))

    log(`${perSecond} events a second for ${warmUpSeconds + seconds} s …`)
    await producer.run(perSecond, warmUpSeconds, signal)
    const memory = sampleMemory(instance, signal)
    const producing = producer.run(perSecond, seconds, signal)
    const absence = (async () => {
      await sleep((seconds / 6) * 1_000, undefined, { signal })
      await all({ do: 'leave', count: AWAY })
      const heardBefore = await heardBy(processes)
      await sleep(awaySeconds * 1_000, undefined, { signal })
      const heardAfter = await heardBy(processes)
      if (heardBefore.some((heard, i) => heardAfter[i] !== heard))
        throw new Error('Who was away has heard something.')
      await all({ do: 'return', count: AWAY })
    })()
    await Promise.all([producing, absence])
    const samples = memory.stop()
    const behindMs = await settle(all, producer.last, signal)
    const answers = await all({ do: 'report' })
    const streams = answers.flatMap((answer) => answer.streams)
    const away = answers.flatMap((answer) => answer.streams.slice(0, AWAY))
    const missing = streams.map(({ last, lost }) => lost + producer.last - last)
    const latencies = answers.reduce(
      (counts, answer) => counts.map((count, ms) => count + answer.latencies[ms]!),
      Array.from({ length: answers[0]!.latencies.length }, () => 0),
    )
    const half = Math.floor(samples.length / 2)
    const growth = median(samples.slice(half)) / median(samples.slice(0, half))
    const cpu = sum(answers.map(({ cpuSeconds }) => cpuSeconds))
    return {
      checks: [
        atLeast('listeners, over server-sent events', streams.length, '', clients),
        atLeast('events each has to hear', producer.last, '', perSecond * (seconds + warmUpSeconds)),
        atMost('lost, of all listeners', sum(missing), 'events', 0),
        atMost(
          'doubled or out of order, of all listeners',
          sum(streams.map((s) => s.disordered)),
          'events',
          0,
        ),
        atMost(
          `lost or doubled by ${away.length} that were away for ${awaySeconds} s`,
          sum(away.map((s) => s.lost + s.disordered + producer.last - s.last)),
          'events',
          0,
        ),
        atMost('memory of the server, second half of the run to the first', growth, '×', 1.15),
        reported('memory of the server, at the end', median(samples.slice(-5)) / 2 ** 20, 'MiB'),
        reported('from the transaction to a listener, half within', quantile(latencies, 0.5), 'ms'),
        reported('the same, 99 % within', quantile(latencies, 0.99), 'ms'),
        reported('until all had everything after the last commit', behindMs, 'ms'),
        reported('connections that broke', sum(streams.map(({ broken }) => broken)), ''),
        reported('processor time of the listeners', cpu, 's'),
      ],
      versions: { postgresql: instance.postgresVersion },
    }
  },
}

function startClients(stack: AsyncDisposableStack): ChildProcess {
  const child = fork(join(import.meta.dirname, 'events', 'client-process.ts'), { stdio: 'inherit' })
  stack.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  })
  return child
}

async function tell(child: ChildProcess, order: ClientOrder): Promise<ClientAnswer> {
  const answered = once(child, 'message') as Promise<[ClientAnswer | { error: string }]>
  child.send(order)
  const [answer] = await answered
  if ('error' in answer) throw new Error(`A process of listeners failed: ${answer.error}`)
  return answer
}

/** What those have heard in all that are going to be away. */
async function heardBy(processes: readonly ChildProcess[]): Promise<number[]> {
  const answers = await Promise.all(processes.map((child) => tell(child, { do: 'report' })))
  return answers.flatMap(({ streams }) => streams.slice(0, AWAY).map(({ heard }) => heard))
}

async function tenantOf({ url, adminKey }: Instance): Promise<string> {
  const response = await fetch(`${url}/v1/me`, { headers: { authorization: `Bearer ${adminKey}` } })
  const { tenant } = (await response.json()) as { tenant: { id: string } }
  return tenant.id
}

/** Waits until everybody has the last event, or much longer than it should take. */
async function settle(
  all: (order: ClientOrder) => Promise<ClientAnswer[]>,
  last: number,
  signal: AbortSignal,
): Promise<number> {
  const startedMs = performance.now()
  for (;;) {
    const answers = await all({ do: 'report' })
    const passedMs = performance.now() - startedMs
    if (answers.every(({ streams }) => streams.every((stream) => stream.last >= last))) return passedMs
    if (passedMs > SETTLE_MS) return passedMs
    await sleep(100, undefined, { signal })
  }
}

/** Notes the memory of the server's own process every second. */
function sampleMemory(instance: Instance, signal: AbortSignal): { stop(): number[] } {
  const samples: number[] = []
  const over = new AbortController()
  const run = async (): Promise<void> => {
    while (!over.signal.aborted && !signal.aborted) {
      const programs = await memoryByProgram(await instance.processes())
      samples.push(
        sum([...programs].filter(([name]) => !/^(postgres|sh|npm)/.test(name)).map(([, bytes]) => bytes)),
      )
      await sleep(1_000)
    }
  }
  void run().catch((error: unknown) => {
    if (!over.signal.aborted) throw error
  })
  return {
    stop: () => {
      over.abort()
      return samples
    },
  }
}

function quantile(counts: readonly number[], share: number): number {
  const wanted = sum(counts) * share
  let seen = 0
  return counts.findIndex((count) => (seen += count) >= wanted)
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
