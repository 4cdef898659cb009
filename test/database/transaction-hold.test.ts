import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { LONGEST_HOLD_MS, TransactionHold } from '../../src/database/transaction-hold.ts'
import { app, latest, useDatabase } from './database-fixture.ts'

const fixture = useDatabase()

/** A hold on a made-up leader and a made-up clock. */
function make() {
  const state = { timeline: 3 as number | undefined, nowMs: 0 }
  const hold = new TransactionHold({
    findTimeline: () => Promise.resolve(state.timeline),
    now: () => state.nowMs,
  })
  onTestFinished(() => hold[Symbol.asyncDispose]())
  return { state, hold }
}

/** Whether something has come about by now. */
async function isDone(promise: Promise<unknown>): Promise<boolean> {
  return Promise.race([promise.then(() => true), sleep(250).then(() => false)])
}

test('who comes while it holds waits until a server of a newer timeline takes writes', async () => {
  const { state, hold } = make()
  await hold.pass()
  hold.hold()
  const passing = hold.pass()
  expect(await isDone(passing)).toBe(false)
  state.timeline = undefined
  expect(await isDone(passing)).toBe(false)
  state.timeline = 4
  await passing
  expect(hold.isHeld).toBe(false)
})

test('a switchover that came to nothing holds nobody for long', async () => {
  const { state, hold } = make()
  hold.hold()
  const passing = hold.pass()
  expect(await isDone(passing)).toBe(false)
  state.nowMs = LONGEST_HOLD_MS + 1
  await passing
})

test('it lets go when it is told to, or given up on, or closed', async () => {
  const { hold } = make()
  hold.hold()
  const passing = hold.pass()
  const impatient = hold.pass(AbortSignal.timeout(20))
  await expect(impatient).rejects.toMatchObject({ name: 'TimeoutError' })
  expect(await isDone(passing)).toBe(false)
  hold.release()
  await passing
  hold.hold()
  const closed = hold.pass()
  await hold[Symbol.asyncDispose]()
  await closed
})

test('what has begun goes on to its end, also where it needs another connection; what has not begun waits', async () => {
  const database = fixture.open()
  const begun = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const first = database.transaction(app, async (connection) => {
    begun.resolve()
    await goOn.promise
    await connection.query("insert into public.things values ('begun')")
    return database.read(latest, (other) => other.query('select 1 as one'))
  })
  await begun.promise
  database.hold.hold()
  const second = database.transaction(app, (connection) =>
    connection.query("insert into public.things values ('later')"),
  )
  goOn.resolve()
  expect((await first).value).toEqual([{ one: 1 }])
  expect(await isDone(second)).toBe(false)
  database.hold.release()
  await second
  expect(await fixture.names('%')).toEqual(['begun', 'later'])
})
