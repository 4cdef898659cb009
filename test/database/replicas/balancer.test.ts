import { expect, test } from 'vitest'
import { eventually } from '../../support/nomaly.ts'
import { TcpProxy } from '../../support/tcp-proxy.ts'
import { increment, look, untilInRotation, useReplicas } from './replica-fixture.ts'

const fixture = useReplicas(2)

test('behind an address that leads to several standbys nothing stale is read, and each serves when it may', async () => {
  const [first, second] = fixture.replicas
  await using balancer = await TcpProxy.to(first!.adminUrl)
  balancer.balance([first!.adminUrl, second!.adminUrl])
  await using database = fixture.open({ urls: [balancer.url(fixture.databaseUrl)] })
  await untilInRotation(database, 1)
  await second!.pause()
  const places = new Map<number, number>()
  try {
    for (let round = 0; round < 20; round++) {
      const { value, position } = await increment(database, 1)
      // Several at once, so that connections lead to both.
      const seen = await Promise.all(Array.from({ length: 6 }, () => look(database, 1, { after: position })))
      expect(seen.map((one) => one.value)).toEqual(Array(6).fill(value))
      for (const { port } of seen) places.set(port, (places.get(port) ?? 0) + 1)
    }
  } finally {
    await second!.resume()
  }
  expect(places.get(second!.port)).toBeUndefined()
  expect(places.get(first!.port)).toBeGreaterThan(0)

  const { position } = await increment(database, 1)
  await eventually(async () => {
    const seen = await Promise.all(Array.from({ length: 6 }, () => look(database, 1, { after: position })))
    return seen.some(({ port }) => port === second!.port)
  })
})

test('a standby that was started anew is not taken for what it was before', async () => {
  const [first] = fixture.replicas
  await using database = fixture.open({ urls: [first!.url(fixture.databaseUrl)] })
  await untilInRotation(database, 1)
  const { value, position } = await increment(database, 2)
  await eventually(async () => (await look(database, 2, { after: position })).onStandby)
  await first!.kill()
  await first!.launch()
  // Whichever comes first, the probe or the read: neither may take the other run for this one.
  for (let round = 0; round < 20; round++)
    expect(await look(database, 2, { after: position })).toMatchObject({ value })
  await untilInRotation(database, 1)
})
