import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { EventListener, type HeardEvent } from '../api/event-listener.ts'
import { EventWebSocket, type WebSocketEvent } from '../api/event-web-socket.ts'
import { eventually } from '../support/nomaly.ts'
import { Installation } from './installation.ts'

const ROUNDS = process.env['NOMALY_TEST_SCENARIOS'] === '1' ? 20 : 3

type Heard = readonly (HeardEvent | WebSocketEvent)[]

/** Connects, says so, and hears until the connection is over. */
type Hear = (
  lastId: string | undefined,
  onThere: () => void,
) => Promise<{ readonly heard: Heard; readonly lastId: string }>

test(
  `through ${ROUNDS} kills with -9 those who come back with Last-Event-ID miss nothing and hear nothing twice`,
  { timeout: 60_000 + ROUNDS * 60_000 },
  async () => {
    await using installation = await Installation.create()
    await installation.start()
    const over = new AbortController()
    const following = [
      follow('sse', (lastId, onThere) => hearSse(installation, lastId, onThere, over.signal)),
      follow('websocket', (lastId, onThere) => hearWebSocket(installation, lastId, onThere, over.signal)),
    ].map((follower) => ({ ...follower, ended: follower.run(over.signal) }))
    await Promise.all(following.map(({ isThere }) => isThere))
    const acknowledged: string[] = []
    const producing = produce(installation, acknowledged, over.signal)
    for (let round = 0; round < ROUNDS; round++) {
      const before = acknowledged.length
      await eventually(async () => acknowledged.length > before + 10, 60_000)
      await sleep(Math.random() * 200)
      await installation.killEverything(Math.random)
      await installation.start()
    }
    const before = acknowledged.length
    await eventually(async () => acknowledged.length > before + 10, 60_000)
    over.abort()
    await producing
    // What was not acknowledged may have been done as well, and then it is told.
    const made = (await installation.list('/v1/datasets?limit=500')).map(({ id }) => id as string)
    expect(made).toEqual(expect.arrayContaining(acknowledged))
    for (const { name, ended } of following) {
      const { heard, lastId } = await ended
      await using rest = await EventListener.connect(installation.url, installation.adminKey, lastId)
      const idsOf = (events: Heard): string[] => events.map(({ data }) => data.id as string)
      await eventually(async () => {
        const known = new Set(idsOf([...heard, ...rest.numbered]))
        return made.every((id) => known.has(id))
      })
      const all = [...heard, ...rest.numbered]
      const numbers = all.map(({ id }) => Number(id))
      expect(numbers, name).toEqual([...new Set(numbers)].toSorted((a, b) => a - b))
      const created = all.filter(({ event, data }) => event === 'dataset' && data.change === 'created')
      expect(idsOf(created).toSorted(), name).toEqual(made.toSorted())
    }
  },
)

/** Somebody who listens whenever there is something to listen to, and goes on where the last connection broke. */
function follow(name: string, hear: Hear) {
  const there = Promise.withResolvers<void>()
  const run = async (signal: AbortSignal): ReturnType<Hear> => {
    const heard: (HeardEvent | WebSocketEvent)[] = []
    let lastId: string | undefined
    while (!signal.aborted) {
      try {
        const part = await hear(lastId, there.resolve)
        heard.push(...part.heard)
        lastId = part.lastId
      } catch {
        await sleep(20)
      }
    }
    return { heard, lastId: lastId! }
  }
  return { name, isThere: there.promise, run }
}

async function hearSse(
  { url, adminKey }: Installation,
  lastId: string | undefined,
  onThere: () => void,
  signal: AbortSignal,
): ReturnType<Hear> {
  await using listener = await EventListener.connect(url, adminKey, lastId)
  onThere()
  while (!listener.isOver && !signal.aborted) await sleep(5)
  return { heard: listener.numbered, lastId: listener.lastId }
}

async function hearWebSocket(
  { url, adminKey }: Installation,
  lastId: string | undefined,
  onThere: () => void,
  signal: AbortSignal,
): ReturnType<Hear> {
  const options = lastId === undefined ? {} : { lastEventId: lastId }
  await using listener = await EventWebSocket.connect(url, adminKey, options)
  onThere()
  while (listener.closed === undefined && !signal.aborted) await sleep(5)
  return { heard: [...listener.numbered], lastId: listener.lastId }
}

/** Makes datasets, and notes those that were acknowledged. */
async function produce(
  installation: Installation,
  acknowledged: string[],
  signal: AbortSignal,
): Promise<void> {
  for (let n = 0; !signal.aborted; n++) {
    try {
      const { status, body } = await installation.request('POST', '/v1/datasets', { name: `made-${n}` })
      if (status === 201) acknowledged.push(body.id as string)
    } catch {
      await sleep(20)
    }
    await sleep(10)
  }
}
