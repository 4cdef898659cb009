import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { runCli } from '../cli/run-cli.ts'
import { connectAdmin, dumpDatabase, plantSeries, pointsTable } from '../erasure/eraser-fixture.ts'
import { startTestNomaly } from '../support/nomaly.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const KILLS = process.env['NOMALY_TEST_SCENARIOS'] === '1' ? 20 : 2

test(
  `killed ${KILLS} times at random moments, it is gone on with until all is done`,
  { timeout: 600_000 },
  async () => {
    await using nomaly = await startTestNomaly({ worker: false })
    const folder = await mkdtemp(join(tmpdir(), 'w-erase-kill-'))
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    const env = {
      DATABASE_URL: nomaly.databaseUrl,
      ADMIN_DATABASE_URL: nomaly.database.adminUrl,
      NOMALY_ERASURE_LEDGER: join(folder, 'erasures.ndjson'),
    }
    const run = (...args: string[]) => runCli(args, { env })
    const admin = await connectAdmin(nomaly.database.adminUrl)
    const points = await pointsTable(admin)
    const metrics = Object.fromEntries(
      Array.from({ length: 20 }, (_, index) => [
        `magpie-${index}`,
        Array.from({ length: 200 }, (_value, at) => at),
      ]),
    )
    for (let kills = 0, round = 0; kills < KILLS; round++) {
      const name = `magpie-${round}`
      const { id: tenantId } = await nomaly.store.tenants.create(name)
      for (const dataset of ['a', 'b', 'c']) await plantSeries(nomaly.store, { tenantId }, dataset, metrics)
      const child = spawn(process.execPath, [MAIN, 'erase', '--tenant', name, '--yes'], {
        env: { PATH: process.env['PATH'], NOMALY_DATA_DIR: '/nonexistent/nomaly', ...env },
        stdio: 'ignore',
      })
      const ended = once(child, 'exit') as Promise<[number | null]>
      const wasEarly = await Promise.race([ended, sleep(300 + Math.random() * 2_500)])
      child.kill('SIGKILL')
      await ended
      if (wasEarly === undefined) kills++
      // What was killed before it had written down what it was to do has done nothing.
      const resumed = await run('erase', '--resume', '-o', 'json')
      expect(resumed, resumed.err).toMatchObject({ code: 0 })
      const { rowCount } = await admin.query('select from nomaly.tenants where id = $1', [tenantId])
      const { rows } = await admin.query<{ series: number; points: number }>(
        `select (select count(*)::int from metrics.series where tenant_id = $1) as series,
         (select count(*)::int from ${points} p where not exists (select from metrics.series s where s.id = p.series_id)) as points`,
        [tenantId],
      )
      if (rowCount === 1) {
        expect(rows[0]).toEqual({ series: 60, points: 0 })
        expect(await run('erase', '--tenant', name, '--yes')).toMatchObject({ code: 0 })
      } else expect(rows[0]).toEqual({ series: 0, points: 0 })
    }
    expect(await dumpDatabase(admin)).not.toContain('magpie')
    expect((await run('erase', '--resume')).out).toBe('Nothing was interrupted.\n')
  },
)
