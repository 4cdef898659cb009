import { expect, test } from 'vitest'
import { eventually } from '../../support/nomaly.ts'
import { startPgBouncer } from '../../support/pgbouncer.ts'
import { TcpProxy } from '../../support/tcp-proxy.ts'
import { increment, look, untilInRotation, useReplicas } from './replica-fixture.ts'

const fixture = useReplicas(2)

test('behind a pooler that lends servers of several standbys by the transaction nothing stale is read', async () => {
  const [first, second] = fixture.replicas
  await using balancer = await TcpProxy.to(first!.adminUrl)
  balancer.balance([first!.adminUrl, second!.adminUrl])
  const pooled = await startPgBouncer(balancer.url(fixture.databaseUrl), 4)
  await using database = fixture.open({ urls: [pooled] })
  await untilInRotation(database, 1)
  await second!.pause()
  const places = new Map<number, number>()
  try {
    for (let round = 0; round < 60; round++) {
      // Several reads of what one write has left, so that it becomes known where it has arrived.
      const { value, position } = await increment(database, 1)
      for (let times = 0; times < 5; times++) {
        const seen = await Promise.all(
          Array.from({ length: 8 }, () => look(database, 1, { after: position })),
        )
        expect(seen.map((one) => one.value)).toEqual(Array(8).fill(value))
        for (const { port } of seen) places.set(port, (places.get(port) ?? 0) + 1)
      }
    }
  } finally {
    await second!.resume()
  }
  expect(places.get(second!.port)).toBeUndefined()
  expect(places.get(first!.port)).toBeGreaterThan(0)
  await eventually(async () => {
    const { position } = await increment(database, 1)
    const seen = await Promise.all(Array.from({ length: 6 }, () => look(database, 1, { after: position })))
    return seen.some(({ onStandby }) => onStandby)
  })
})
