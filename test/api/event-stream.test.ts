import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { DropReason, EventSink, SharedTexts } from '../../src/api/events/event-sink.ts'
import { EventStream } from '../../src/api/events/event-stream.ts'
import { TenantFeed } from '../../src/api/events/tenant-feed.ts'
import type { StoredEvent } from '../../src/store/event-repository.ts'
import { EventTail, type TailEvent } from '../../src/store/event-tail.ts'
import { Turnstile } from '../../src/store/turnstile.ts'

/** The events of one tenant as a database has them: numbers with gaps, and answers that take a moment. */
class EventTable {
  readonly events: StoredEvent[] = []
  reads = 0
  readonly #pause: () => Promise<void>
  #nextId = 1

  constructor(pause: () => Promise<void> = () => Promise.resolve()) {
    this.#pause = pause
  }

  add(count: number, gap: number): void {
    for (let i = 0; i < count; i++) {
      this.events.push({ id: (this.#nextId += 1 + gap), topic: 'job', payload: { n: this.events.length } })
    }
  }

  get newestId(): number {
    return this.events.at(-1)?.id ?? 0
  }

  async after(id: number, limit: number): Promise<StoredEvent[]> {
    this.reads++
    await this.#pause()
    // What is read is what was there at one moment, and arrives later.
    const found = this.events.filter((event) => event.id > id).slice(0, limit)
    await this.#pause()
    return found
  }

  async bounds(): Promise<{ oldestId: number; newestId: number }> {
    await this.#pause()
    return { oldestId: this.events[0]?.id ?? 0, newestId: this.newestId }
  }
}

/** A reader that takes what it is sent when the test lets it. */
class SlowSink implements EventSink {
  readonly transport = 'sse'
  readonly heard: number[] = []
  readonly greetings: number[] = []
  backlogBytes = 0
  dropped: DropReason | undefined
  isStuck = false
  #drained: (() => void)[] = []

  greet(lastId: number): void {
    this.greetings.push(lastId)
  }

  send(events: readonly TailEvent[], _shared: SharedTexts): void {
    this.heard.push(...events.map(({ id }) => id))
    if (this.isStuck) this.backlogBytes += 300_000
  }

  tell(): void {}

  beat(): boolean {
    return true
  }

  drained(): Promise<boolean> {
    if (!this.isStuck) return Promise.resolve(true)
    return new Promise((resolve) => this.#drained.push(() => resolve(true)))
  }

  drop(reason: DropReason): void {
    this.dropped = reason
  }

  takeAll(): void {
    this.isStuck = false
    this.backlogBytes = 0
    for (const resolve of this.#drained) resolve()
    this.#drained = []
  }
}

const Step = fc.oneof(
  fc.record({ kind: fc.constant('add' as const), count: fc.integer({ min: 1, max: 700 }), gap: fc.nat(3) }),
  fc.record({ kind: fc.constant('join' as const), back: fc.nat(1_500) }),
  fc.record({ kind: fc.constant('stick' as const), which: fc.nat(20) }),
  fc.record({ kind: fc.constant('take' as const), which: fc.nat(20) }),
  fc.record({ kind: fc.constant('wait' as const), turns: fc.nat(4) }),
)

const settle = async (turns: number): Promise<void> => {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve))
}

test('whatever the order of commits, readings, joins and slow readers, each stream gets all above its number, once and in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(Step, { minLength: 5, maxLength: 40 }),
      fc.array(fc.nat(3), { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 200, max: 100_000 }),
      async (steps, pauses, maxBytes) => {
        let paused = 0
        const table = new EventTable(() => settle(pauses[paused++ % pauses.length]!))
        table.add(10, 0)
        const tail = new EventTail({
          read: table,
          fromId: table.newestId,
          maxBytes: () => maxBytes,
          turnstile: new Turnstile(2),
        })
        const feed = new TenantFeed(tail)
        const joined: { sink: SlowSink; from: number }[] = []
        for (const step of steps) {
          if (step.kind === 'add') {
            table.add(step.count, step.gap)
            feed.wake()
          }
          if (step.kind === 'join') {
            const from = table.events.at(-1 - step.back)?.id ?? 0
            const sink = new SlowSink()
            joined.push({ sink, from })
            feed.streams.add(
              new EventStream({
                sink,
                tail,
                lastId: from,
                isStillKnown: () => Promise.resolve(true),
                onDrop: () => {},
              }),
            )
            feed.wake()
          }
          const target = joined[('which' in step ? step.which : 0) % Math.max(1, joined.length)]
          if (step.kind === 'stick' && target !== undefined) target.sink.isStuck = true
          if (step.kind === 'take') target?.sink.takeAll()
          if (step.kind === 'wait') await settle(step.turns)
        }
        for (const { sink } of joined) sink.takeAll()
        const wanted = joined.map(({ from }) =>
          table.events.filter(({ id }) => id > from).map(({ id }) => id),
        )
        for (let tries = 0; tries < 500; tries++) {
          await settle(5)
          for (const { sink } of joined) sink.takeAll()
          if (joined.every(({ sink }, i) => sink.heard.length >= wanted[i]!.length)) break
          // Nothing wakes them but what was said above, and a clock that is slower than this.
          await new Promise((resolve) => setTimeout(resolve, 1))
        }
        feed.stop()
        expect(joined.map(({ sink }) => sink.heard)).toEqual(wanted)
        expect(tail.bytes).toBeLessThanOrEqual(maxBytes)
      },
    ),
    { numRuns: 60 },
  )
})

test('a thousand streams read what is new once', async () => {
  const table = new EventTable()
  table.add(5, 0)
  const tail = new EventTail({
    read: table,
    fromId: table.newestId,
    maxBytes: () => 1_000_000,
    turnstile: new Turnstile(2),
  })
  const feed = new TenantFeed(tail)
  const sinks = Array.from({ length: 1_000 }, () => new SlowSink())
  for (const sink of sinks)
    feed.streams.add(
      new EventStream({
        sink,
        tail,
        lastId: table.newestId,
        isStillKnown: () => Promise.resolve(true),
        onDrop: () => {},
      }),
    )
  table.add(50, 1)
  feed.wake()
  await expect.poll(() => sinks.every(({ heard }) => heard.length === 50)).toBe(true)
  expect(table.reads).toBe(1)
  feed.stop()
})

test('streams that are equally far behind read each page once', async () => {
  const table = new EventTable(() => settle(1))
  table.add(2_000, 0)
  const tail = new EventTail({
    read: table,
    fromId: table.newestId,
    maxBytes: () => 1_000_000,
    turnstile: new Turnstile(2),
  })
  const feed = new TenantFeed(tail)
  const sinks = Array.from({ length: 300 }, () => new SlowSink())
  for (const sink of sinks)
    feed.streams.add(
      new EventStream({
        sink,
        tail,
        lastId: 0,
        isStillKnown: () => Promise.resolve(true),
        onDrop: () => {},
      }),
    )
  feed.wake()
  await expect.poll(() => sinks.every(({ heard }) => heard.length === 2_000)).toBe(true)
  expect(table.reads).toBeLessThan(20)
  feed.stop()
})

test('a database that fails is asked again, and nothing is skipped', async () => {
  const table = new EventTable()
  const failing = {
    isAway: true,
    after: (id: number, limit: number) =>
      failing.isAway ? Promise.reject(new Error('away')) : table.after(id, limit),
    bounds: () => table.bounds(),
  }
  const tail = new EventTail({
    read: failing,
    fromId: 0,
    maxBytes: () => 1_000_000,
    turnstile: new Turnstile(2),
  })
  const feed = new TenantFeed(tail)
  const sink = new SlowSink()
  feed.streams.add(
    new EventStream({
      sink,
      tail,
      lastId: 0,
      isStillKnown: () => Promise.resolve(true),
      onDrop: () => {},
    }),
  )
  table.add(3, 0)
  feed.wake()
  await settle(10)
  expect(sink.heard).toEqual([])
  failing.isAway = false
  feed.wake()
  await expect.poll(() => sink.heard).toEqual(table.events.map(({ id }) => id))
  feed.stop()
})
