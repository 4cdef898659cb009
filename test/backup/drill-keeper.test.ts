import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createLogger } from '../../src/telemetry/logger.ts'
import { DrillKeeper } from '../../src/worker/drill-keeper.ts'
import { eventually, startTestNomaly } from '../support/nomaly.ts'

test('a drill that is due is run by one of all processes, once', async () => {
  const nomaly = await startTestNomaly({ worker: false })
  onTestFinished(() => nomaly[Symbol.asyncDispose]())
  const folder = await mkdtemp(join(tmpdir(), 'nomaly-keeper-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const ran = join(folder, 'ran')
  const startedMs = Date.UTC(2026, 10, 24, 4, 29)
  let nowMs = startedMs
  await using stack = new AsyncDisposableStack()
  let looks = 0
  for (let process = 0; process < 3; process++)
    stack.use(
      new DrillKeeper({
        database: nomaly.store.database,
        cron: '30 4 * * *',
        // It notes itself as a drill does, so that the others know.
        command: [
          'sh',
          '-c',
          `echo ran >> ${ran}; sleep 0.2; ${insertDrill(nomaly.database.adminUrl, startedMs)}`,
        ],
        look: async () => {
          looks += 1
          return {
            engine: 'managed',
            seenAt: new Date(),
            lastBackupAt: null,
            bytes: null,
            durationSeconds: null,
            recoverableFrom: null,
            problem: 'There is no backup.',
          }
        },
        clock: () => nowMs,
        logger: createLogger('silent'),
        intervalMs: 20,
      }),
    )
  await eventually(async () => looks === 3)
  expect(() => readFileSync(ran)).toThrow()
  nowMs += 120_000
  await eventually(async () => readLines(ran) > 0)
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  expect(readLines(ran)).toBe(1)
  const metrics = await (await fetch(`${nomaly.url}/metrics`)).text()
  expect(metrics).toMatch(/nomaly_backup_problem\{engine="managed"\} 1/)
})

function readLines(path: string): number {
  try {
    return readFileSync(path, 'utf8').trim().split('\n').length
  } catch {
    return 0
  }
}

/** A command that notes a drill which began after it was due. */
function insertDrill(url: string, startedMs: number): string {
  const at = new Date(startedMs + 90_000).toISOString()
  const script = `
    import pg from 'pg'
    const client = new pg.Client({ connectionString: ${JSON.stringify(url)} })
    await client.connect()
    await client.query("insert into nomaly.restore_drills (id, engine, backup_id, started_at, finished_at, verdict, report) values (gen_random_uuid(), 'managed', 'x', '${at}', '${at}', 'proven', '{}')")
    await client.end()`
  return `'${process.execPath}' --input-type=module -e '${script.replaceAll("'", String.raw`'\''`)}'`
}
