import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { runCli } from '../cli/run-cli.ts'
import { LONGEST_HOLD_MS } from '../../src/database/transaction-hold.ts'
import { runSwitchover } from '../../src/operations/failover/run-switchover.ts'
import type { FailoverFixture } from './failover-cluster.ts'

/** A switchover with and without the command, and a drill by the command, on a cluster that never loses. */
export function failoverCommands(given: () => FailoverFixture): void {
  let fixture: FailoverFixture
  beforeAll(async () => {
    fixture = given()
    await fixture.cluster.untilWhole()
    await fixture.nomaly.request('POST', '/v1/datasets', { body: { name: 'shop' } })
  }, 60_000)

  test('nobody who writes or reads meanwhile is refused', { timeout: 180_000 }, async () => {
    const { nomaly, cluster, patroni } = fixture
    const before = await cluster.leader()
    const clients = new Clients(fixture)
    await sleep(1_000)
    const report = await runSwitchover({
      store: nomaly.store,
      patroni,
      databaseUrl: cluster.applicationUrl,
      clock: Date.now,
      signal: AbortSignal.timeout(120_000),
    })
    await sleep(1_000)
    await clients.stop()
    if (process.env['NOMALY_TEST_SCENARIOS'] === '1')
      process.stdout.write(
        `${JSON.stringify({ ...report, clientsLongestMs: clients.longestMs, answered: clients.answered })}\n`,
      )
    expect(clients.failed).toEqual([])
    expect(clients.answered).toBeGreaterThan(50)
    expect(report).toMatchObject({ from: before.name, errors: {}, hasRejoined: true })
    // Had it been as long, whoever waited would have been let go before there was a leader.
    expect(report.longestStallMs).toBeLessThan(LONGEST_HOLD_MS)
    expect(report.longestStallMs).toBeGreaterThan(report.switchedAfterMs / 2)
    expect((await cluster.leader()).name).toBe(report.to)
    expect(report.to).not.toBe(before.name)
  })

  test(
    'by the command, as another process beside the API, and back again',
    { timeout: 180_000 },
    async () => {
      const { cluster, patroniUrls } = fixture
      await cluster.untilWhole()
      const env = {
        DATABASE_URL: cluster.applicationUrl,
        NOMALY_PATRONI_URLS: patroniUrls,
      }
      const status = await runCli(['drill', 'status'], { env })
      expect(status.out).toMatch(/sync standby[^]*Set up to never lose\. Fit for a drill\./)
      const clients = new Clients(fixture)
      const result = await runCli(['switchover', '--yes', '-o', 'json'], { env })
      await clients.stop()
      expect(result.err).toBe('')
      expect(JSON.parse(result.out)).toMatchObject({ errors: {}, hasRejoined: true })
      expect(clients.failed).toEqual([])
    },
  )

  test('who cannot take over is refused, and everything is as before', { timeout: 60_000 }, async () => {
    const { nomaly, cluster, patroni } = fixture
    await cluster.untilWhole()
    const leader = (await cluster.leader()).name
    const switchTo = (to: string) =>
      runSwitchover({
        store: nomaly.store,
        patroni,
        databaseUrl: cluster.applicationUrl,
        to,
        clock: Date.now,
        signal: AbortSignal.timeout(50_000),
      })
    await expect(switchTo('nobody')).rejects.toMatchObject({ code: 'invalid_input' })
    const asynchronous = (await patroni.cluster()).members.find(({ role }) => role === 'replica')!
    await expect(switchTo(asynchronous.name)).rejects.toMatchObject({ code: 'conflict' })
    expect((await cluster.leader()).name).toBe(leader)
    expect(nomaly.store.database.hold.isHeld).toBe(false)
  })

  test(
    'a transaction that does not end keeps the leader where it is, and nobody waits longer than for that',
    { timeout: 60_000 },
    async () => {
      const { nomaly, cluster, patroni } = fixture
      const leader = (await cluster.leader()).name
      const ending = Promise.withResolvers<void>()
      const scope = { tenantId: nomaly.tenant.tenantId }
      const open = nomaly.store.transaction(scope, async (unit) => {
        await unit.settings.set('held', 1, 'test')
        await ending.promise
      })
      await expect(
        runSwitchover({
          store: nomaly.store,
          patroni,
          databaseUrl: cluster.applicationUrl,
          clock: Date.now,
          signal: AbortSignal.timeout(50_000),
        }),
      ).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining('still open') })
      expect(nomaly.store.database.hold.isHeld).toBe(false)
      expect((await nomaly.request('POST', '/v1/datasets', { body: { name: 'after' } })).status).toBe(201)
      ending.resolve()
      await open
      expect((await cluster.leader()).name).toBe(leader)
    },
  )

  test(
    'a drill by the command: struck by the operator’s own, reported and kept',
    { timeout: 240_000 },
    async () => {
      const { cluster, patroniUrls } = fixture
      await cluster.untilWhole()
      const leader = await cluster.leader()
      const dataDirectory = await mkdtemp(join(tmpdir(), 'nomaly-drill-'))
      onTestFinished(() => rm(dataDirectory, { recursive: true }))
      const env = {
        DATABASE_URL: cluster.applicationUrl,
        NOMALY_PATRONI_URLS: patroniUrls,
        NOMALY_DATA_DIR: dataDirectory,
      }
      // All that works in the folder of the node, by process id.
      const strikeCommand = `for process in /proc/[0-9]*; do
      case "$(readlink "$process/cwd")/" in "${cluster.folder}/$NOMALY_DRILL_NODE/"*) kill -KILL "\${process#/proc/}";; esac
    done`
      const drilling = runCli(
        [
          'drill',
          'failover',
          '--preset',
          'never-lose',
          '--yes',
          '-o',
          'json',
          '--strike-command',
          strikeCommand,
        ],
        {
          env,
        },
      )
      // What supervises the node starts it again after a while.
      await leader.patroni.ended
      await sleep(10_000)
      await leader.start()
      const result = await drilling
      const report = JSON.parse(result.out)
      expect(report.verdict.checks.filter(({ passed }: { passed: boolean }) => !passed)).toEqual([])
      expect(report).toMatchObject({
        plan: { kind: 'kill' },
        outcome: { leaderBefore: leader.name, isReplicationCut: false },
      })
      expect(result.code).toBe(0)
      expect(result.err).toMatch(/nothing that was acknowledged may be lost[^]*Kept as .*drills/)
      const list = await runCli(['drill', 'list'], { env })
      expect(list.out).toMatch(/kill +never lose +passed +[\d,]+ ms +0/)
    },
  )
}

/** Requests over HTTP until it is stopped; whatever is not answered with success is kept. */
class Clients {
  answered = 0
  longestMs = 0
  readonly failed: string[] = []
  readonly #nomaly: FailoverFixture['nomaly']
  #isStopped = false
  readonly #lanes: Promise<void>[]

  constructor({ nomaly }: FailoverFixture) {
    this.#nomaly = nomaly
    this.#lanes = Array.from({ length: 4 }, (_, lane) => this.#run(lane))
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#lanes)
  }

  async #run(lane: number): Promise<void> {
    for (let n = 0; !this.#isStopped; n++) {
      const beganAt = performance.now()
      const [method, path, body] = this.#next(lane, n)
      const { status, body: answer } = await this.#nomaly.request(method, path, { body })
      this.longestMs = Math.max(this.longestMs, performance.now() - beganAt)
      if (status < 300) this.answered += 1
      else this.failed.push(`${method} ${path}: ${status} ${JSON.stringify(answer)}`)
      await sleep(10)
    }
  }

  #next(lane: number, n: number): [method: string, path: string, body?: unknown] {
    if (lane === 0) return ['GET', '/v1/datasets']
    if (lane === 1) return ['POST', '/v1/datasets', { name: `made-${Date.now()}-${n}` }]
    if (lane === 2) return ['GET', '/readyz']
    const point = { time: Date.now(), metric: 'orders', tags: { lane: String(lane) }, value: n }
    return ['POST', '/v1/datasets/shop/points', [point]]
  }
}
