import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formatNotification, type Notification, type Notifier } from '../../src/notifications/notifier.ts'
import { eventually } from '../support/nomaly.ts'

/** An installation whose processes tell each other something; its servers are real. */
export interface NotifierFixture extends AsyncDisposable {
  /** The notifier of one more process. */
  open(): Promise<Notifier>
  /** Sends a text on every channel that notifiers hear, as somebody else's program might. */
  sendText(text: string): Promise<void>
  /** Commits a transaction that sends a notice from inside SQL. */
  commitWith(notification: Notification): Promise<void>
  /** Breaks the connections that notifiers hear on, in all processes. */
  breakConnections(): Promise<void>
}

interface Process extends AsyncDisposable {
  readonly notifier: Notifier
  readonly heard: Notification[]
  gaps: number
}

/** What holds for every notifier. */
export function describeNotifier(name: string, make: () => Promise<NotifierFixture>): void {
  describe(`the notifier ${name}`, () => {
    let fixture: NotifierFixture
    beforeAll(async () => {
      fixture = await make()
    }, 60_000)
    afterAll(async () => {
      await fixture[Symbol.asyncDispose]()
    })

    const start = async (): Promise<Process> => {
      const notifier = await fixture.open()
      const process: Process = {
        notifier,
        heard: [],
        gaps: 0,
        [Symbol.asyncDispose]: () => notifier[Symbol.asyncDispose](),
      }
      notifier.subscribe((notification) => process.heard.push(notification))
      notifier.onReconnect(() => process.gaps++)
      return process
    }

    test('reaches every process, the one that says it included', async () => {
      await using a = await start()
      await using b = await start()
      await using c = await start()
      const said: Notification[] = [
        { channel: 'points', tenantId: randomUUID(), id: randomUUID() },
        { channel: 'outbox', tenantId: randomUUID(), id: '' },
        { channel: 'events', tenantId: randomUUID(), id: '' },
        { channel: 'keys', tenantId: randomUUID(), id: randomUUID() },
        { channel: 'flags', tenantId: '', id: '' },
      ]
      for (const [i, notification] of said.entries()) [a, b, c][i % 3]!.notifier.publish(notification)
      for (const process of [a, b, c])
        await eventually(async () =>
          said.every((wanted) => process.heard.some((heard) => same(heard, wanted))),
        )
      // Twice does no harm, something else would.
      for (const { heard } of [a, b, c])
        expect(new Set(heard.map((notification) => formatNotification(notification))).size).toBe(said.length)
    })

    test('a notice that a transaction sends is heard', async () => {
      await using a = await start()
      await using b = await start()
      const notification: Notification = { channel: 'outbox', tenantId: randomUUID(), id: '' }
      await fixture.commitWith(notification)
      for (const { heard } of [a, b]) await eventually(async () => heard.length > 0)
      expect([a.heard, b.heard]).toEqual([[notification], [notification]])
    })

    test('thousands at once all arrive, and what is said again after it was heard is heard again', async () => {
      await using a = await start()
      await using b = await start()
      const tenants = Array.from({ length: 3_000 }, () => randomUUID())
      for (const tenantId of tenants) a.notifier.publish({ channel: 'events', tenantId, id: '' })
      const known = (process: Process): Set<string> => new Set(process.heard.map(({ tenantId }) => tenantId))
      for (const process of [a, b]) await eventually(async () => known(process).size === tenants.length)
      // The same, as often as it happens: the last one is heard after it was said.
      for (let round = 0; round < 50; round++) {
        const before = b.heard.length
        for (let i = 0; i < 20; i++) a.notifier.publish({ channel: 'events', tenantId: tenants[0]!, id: '' })
        await eventually(async () => b.heard.length > before)
      }
      let lastSaidAt = 0
      let lastHeardAt = 0
      b.notifier.subscribe(() => (lastHeardAt = performance.now()))
      for (let i = 0; i < 200; i++) {
        lastSaidAt = performance.now()
        a.notifier.publish({ channel: 'events', tenantId: tenants[1]!, id: '' })
        if (i % 7 === 0) await new Promise((resolve) => setTimeout(resolve, i % 3))
      }
      await eventually(async () => lastHeardAt > lastSaidAt)
    })

    test('carries ids and nothing else', async () => {
      await using a = await start()
      const marker: Notification = { channel: 'events', tenantId: randomUUID(), id: '' }
      for (const text of [
        '',
        'events',
        'other x y',
        'events x y z',
        `points ${randomUUID()} a name of somebody`,
        `events ${'a'.repeat(5_000)} `,
        'events {"a":1} ',
      ])
        await fixture.sendText(text)
      await eventually(async () => {
        a.notifier.publish(marker)
        return a.heard.some((heard) => same(heard, marker))
      })
      expect(a.heard.filter((heard) => !same(heard, marker))).toEqual([])
    })

    test('says that there was a gap once it hears again', async () => {
      await using a = await start()
      await using b = await start()
      await fixture.breakConnections()
      await eventually(async () => a.gaps > 0 && b.gaps > 0)
      const notification: Notification = { channel: 'events', tenantId: randomUUID(), id: '' }
      a.notifier.publish(notification)
      for (const { heard } of [a, b])
        await eventually(async () => heard.some((one) => same(one, notification)))
    })

    test('what is said while the connection is away is heard by those who have theirs', async () => {
      await using a = await start()
      await using b = await start()
      for (let round = 0; round < 3; round++) {
        const breaking = fixture.breakConnections()
        const tenants = Array.from({ length: 20 }, () => randomUUID())
        const gapsBefore = b.gaps
        for (const tenantId of tenants) {
          a.notifier.publish({ channel: 'events', tenantId, id: '' })
          await new Promise((resolve) => setTimeout(resolve, 2))
        }
        await breaking
        // Either it was heard, or there was a gap: then everything is looked at anyway.
        await eventually(async () => {
          const heard = new Set(b.heard.map(({ tenantId }) => tenantId))
          return tenants.every((tenantId) => heard.has(tenantId)) || b.gaps > gapsBefore
        })
      }
    })

    test('a listener that has stopped, and a notifier that is closed, hear nothing', async () => {
      await using a = await start()
      const b = await start()
      const heard: Notification[] = []
      const stop = a.notifier.subscribe((notification) => heard.push(notification))
      stop()
      await b[Symbol.asyncDispose]()
      a.notifier.publish({ channel: 'keys', tenantId: randomUUID(), id: '' })
      await eventually(async () => a.heard.length === 1)
      expect([heard, b.heard]).toEqual([[], []])
    })
  })
}

function same(a: Notification, b: Notification): boolean {
  return a.channel === b.channel && a.tenantId === b.tenantId && a.id === b.id
}
