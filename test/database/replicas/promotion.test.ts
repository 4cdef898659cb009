import { describe, expect, test } from 'vitest'
import type { Database } from '../../../src/database/database.ts'
import type { Position } from '../../../src/database/position.ts'
import { urlForLogin } from '../../../src/operations/connection-urls.ts'
import { eventually } from '../../support/nomaly.ts'
import { Replica } from '../../support/replica.ts'
import { TcpProxy } from '../../support/tcp-proxy.ts'
import { increment, LOGIN, look, untilInRotation, useReplicas } from './replica-fixture.ts'

const fixture = useReplicas(2)

test('after a failover nothing is read of a standby until it is known to follow the new primary', async () => {
  const [promoted, follower] = fixture.replicas
  await using proxy = await TcpProxy.to(fixture.primary.adminUrl)
  await using database = fixture.open({}, { url: proxy.url(fixture.databaseUrl) })
  await untilInRotation(database, 2)
  const before = await increment(database, 1)
  expect(await look(database, 1, { after: before.position })).toMatchObject({ value: 1 })
  await eventually(async () => (await look(database, 1, { after: before.position })).onStandby)

  // The old primary goes on: a standby may have of it what the new one never had.
  await promoted!.ask(`select pg_create_physical_replication_slot('replica_${follower!.port}')`)
  await promoted!.promote()
  proxy.leadTo(promoted!.adminUrl)
  for (let written = 0; written < 50; written++)
    await fixture.ask('update nomaly.counters set value = value + 100 where id = 1')
  await eventually(async () => absences(database).join() === 'primary,other timeline')

  const { value, position } = await writeOn(database)
  expect(position.timeline).toBe(before.position.timeline + 1)
  for (let round = 0; round < 10; round++) {
    const seen = await look(database, 1, { after: position })
    expect(seen).toEqual({ value, onStandby: false, port: promoted!.port })
    // What was written before stands on another timeline now.
    expect(await look(database, 1, { after: before.position })).toMatchObject({ port: promoted!.port })
    expect(await look(database, 1, { maxLagMs: 5_000 })).toMatchObject({ port: promoted!.port })
  }
})

describe('a standby that follows the new primary is asked again', () => {
  test('at once', async () => {
    await using failover = await failOver(fixture.replicas[0]!)
    const { database, value, position } = failover
    const seen = await eventually(async () => {
      const one = await look(database, 1, { after: position })
      return one.onStandby && one
    }, 5_000)
    expect(seen).toMatchObject({ value })
  })

  test('after its next checkpoint, where nobody may see what it receives', async () => {
    await using failover = await failOver(fixture.replicas[0]!, 'drop function nomaly.received_timeline()')
    const { database, follower, value, position } = failover
    await eventually(async () => absences(database)[0] === 'other timeline')
    expect(await look(database, 1, { after: position })).toMatchObject({ value, onStandby: false })
    await follower.ask('checkpoint')
    await untilInRotation(database, 1)
    expect(await look(database, 1, { after: position })).toMatchObject({ value, onStandby: true })
  })
})

/** One of two standbys of a primary takes over, and the other follows it; answers what was written then. */
async function failOver(
  primary: Replica,
  before = 'select 1',
): Promise<
  AsyncDisposable & {
    readonly database: Database
    readonly follower: Replica
    readonly value: number
    readonly position: Position
  }
> {
  await using stack = new AsyncDisposableStack()
  await primary.ask(before)
  const [follower, promoted] = [
    stack.use(await Replica.follow(primary)),
    stack.use(await Replica.follow(primary)),
  ]
  const url = urlForLogin(primary.adminUrl, LOGIN.name, LOGIN.password)
  const proxy = stack.use(await TcpProxy.to(primary.adminUrl))
  const database = stack.use(fixture.open({ urls: [follower.url(url)] }, { url: proxy.url(url) }))
  await untilInRotation(database, 1)
  await promoted.ask(`select pg_create_physical_replication_slot('replica_${follower.port}')`)
  await promoted.promote()
  proxy.leadTo(promoted.adminUrl)
  follower.link.leadTo(promoted.adminUrl)
  const { value, position } = await writeOn(database)
  const resources = stack.move()
  return { database, follower, value, position, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}

function absences(database: Database): (string | undefined)[] {
  return database.replicas!.report.map(({ absence }) => absence)
}

/** Adds one to a counter, as soon as the connections lead to the new primary. */
function writeOn(database: Database): ReturnType<typeof increment> {
  return eventually(() => increment(database, 1).catch(() => undefined))
}
