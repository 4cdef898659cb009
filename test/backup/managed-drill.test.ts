import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { lookAtBackups } from '../../src/operations/backup/drill/drill-installation.ts'
import { runRestoreDrill } from '../../src/operations/backup/drill/run-restore-drill.ts'
import { openServerBackups, type ServerBackups } from '../../src/operations/backup/open-server-backups.ts'
import { createMigratedDatabase, testConfig } from '../support/nomaly.ts'
import { createTestDatabase } from '../support/postgres.ts'

const signal = new AbortController().signal

/** Snapshots of a provider that has one, so many hours old. */
async function openSnapshots(
  hoursAgo: number,
  commands: Record<string, string> = {},
): Promise<ServerBackups> {
  const at = new Date(Date.now() - hoursAgo * 3_600_000).toISOString()
  const listed = JSON.stringify({ snapshots: [{ id: 'snap-1', at, bytes: 1_000 }] })
  const config = testConfig({
    databaseUrl: 'postgresql://nobody@127.0.0.1:1/nothing',
    snapshotCommand: `echo '${listed}'`,
    ...commands,
  })
  return openServerBackups(config, () => {})
}

test('the age of snapshots is watched, and nothing is made', async () => {
  const young = await openSnapshots(3)
  expect(await lookAtBackups(young.engines[0]!, Date.now, signal)).toMatchObject({
    bytes: 1_000,
    problem: null,
  })
  const old = await openSnapshots(30)
  expect(await lookAtBackups(old.engines[0]!, Date.now, signal)).toMatchObject({
    problem: expect.stringMatching(/^It is 30.0 hours old; 26.0 are allowed/),
  })
  await expect(old.engines[0]!.create({ kind: 'full', signal })).rejects.toThrow(/provider of the server/)
  const broken = await openSnapshots(0, { snapshotCommand: 'echo it is late >&2; exit 3' })
  expect(await lookAtBackups(broken.engines[0]!, Date.now, signal)).toMatchObject({
    problem: expect.stringMatching(/ended with 3: it is late/),
  })
})

test('a snapshot is restored by commands, put to the proof and taken away again', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'nomaly-managed-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const { database } = await createMigratedDatabase()
  onTestFinished(() => database.drop())
  await using copy = await createTestDatabase({ template: database.name })
  const removed = join(folder, 'removed')
  const { site } = await openSnapshots(1, {
    snapshotRestoreCommand: `printf '{"url":"%s"}' '${copy.adminUrl}'`,
    snapshotRemoveCommand: `cat > ${removed}; echo " $NOMALY_SNAPSHOT_ID" >> ${removed}`,
  })
  const report = await runRestoreDrill({ site, folder, remembered: [], clock: Date.now, signal })
  // There is nothing to replay in an empty one, and what the provider does is not seen.
  expect(report.verdict).toBe('proven in part')
  expect(report.checks.filter(({ verdict }) => verdict === 'fail')).toEqual([])
  expect(report.rpoSeconds).toBeGreaterThan(3_500)
  expect(report.limits).toHaveLength(1)
  expect(readFileSync(removed, 'utf8')).toContain(copy.name)
  expect(readFileSync(removed, 'utf8')).toContain('snap-1')
  expect(JSON.stringify(report)).not.toContain(new URL(copy.adminUrl).password)
})

test('a snapshot that cannot be restored is told', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'nomaly-managed-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const drill = async (commands: Record<string, string>) =>
    runRestoreDrill({
      ...(await openSnapshots(1, commands)),
      folder,
      remembered: [],
      clock: Date.now,
      signal,
    })
  expect((await drill({})).failure?.hint).toMatch(/NOMALY_SNAPSHOT_RESTORE_COMMAND/)
  expect((await drill({ snapshotRestoreCommand: 'echo quota >&2; exit 1' })).failure?.message).toMatch(
    /quota/,
  )
  expect((await drill({ snapshotRestoreCommand: 'echo nothing' })).failure?.message).toMatch(/no address/)
})
