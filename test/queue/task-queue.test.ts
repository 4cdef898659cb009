import { expect, test } from 'vitest'
import { Database } from '../../src/database/database.ts'
import { TaskQueue } from '../../src/queue/task-queue.ts'
import { createMigratedDatabase, eventually } from '../support/nomaly.ts'

const TENANT = '00000000-0000-4000-8000-000000000001'

test('tasks that wait are done one after another, without a pause between them', async () => {
  const { database: testDatabase, databaseUrl } = await createMigratedDatabase()
  await using _testDatabase = testDatabase
  await using database = new Database({
    url: databaseUrl,
    applicationName: 'test',
    maxConnections: 4,
    acquireTimeoutMs: 10_000,
    statementTimeoutMs: 10_000,
    commitTimeoutMs: 10_000,
    log: () => {},
  })
  const queue = new TaskQueue(databaseUrl, () => {})
  await queue.start()
  try {
    const sent = Array.from({ length: 30 }, (_, i) => `run ${i}`)
    await database.transaction({ role: 'nomaly_system' }, async (connection) => {
      for (const runId of sent)
        await queue.send(
          connection,
          'run-detection',
          { tenantId: TENANT, runId },
          { key: runId, back: 'nomaly_system' },
        )
    })
    const done: string[] = []
    let atOnce = 0
    let mostAtOnce = 0
    await queue.work('run-detection', 2, async ({ runId }) => {
      mostAtOnce = Math.max(mostAtOnce, ++atOnce)
      await new Promise((resolve) => setTimeout(resolve, 5))
      atOnce -= 1
      done.push(runId)
    })
    // With the pause that the queue makes of its own accord it would be more than a minute.
    await eventually(async () => done.length === sent.length)
    expect(done.toSorted()).toEqual(sent.toSorted())
    expect(mostAtOnce).toBe(2)
  } finally {
    await queue.stop(5_000)
  }
})
