import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { KillableImport, writeLargeSource } from '../import/kill-import.ts'
import { uniform } from '../support/random.ts'

const isLong = process.env['NOMALY_TEST_SCENARIOS'] === '1'
const seeds = Array.from({ length: isLong ? 20 : 3 }, (_, seed) => seed)

describe('an import that is killed with -9', () => {
  let folder: string
  let source: string
  let expected: string
  let rows: number

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nomaly-test-import-kill-'))
    source = join(folder, 'source')
    writeLargeSource(source)
    await using whole = await KillableImport.open(source, dataFolder('whole'))
    const { code, output } = await whole.run()
    expect(code, output).toBe(0)
    expected = await whole.digest()
    const [sum] = await whole.admin<{ rows: number }>(
      `select sum((tally ->> 'read')::int)::int as rows from nomaly.import_places`,
    )
    rows = sum!.rows
  }, 120_000)

  afterAll(() => rm(folder, { recursive: true, force: true }))

  function dataFolder(name: string): string {
    const path = join(folder, name)
    mkdirSync(path, { recursive: true })
    return path
  }

  test.for(seeds)(
    'goes on where it was, and comes to the same as one that was left alone (seed %i)',
    { timeout: 120_000 },
    async (seed) => {
      const random = uniform(seed)
      await using killed = await KillableImport.open(source, dataFolder(`killed-${seed}`))
      const kills = 1 + Math.floor(random() * 3)
      for (let kill = 0; kill < kills; kill++) {
        // Most of the rows are metrics, and most of the steps are not: both have their share.
        const share = random() < 0.5 ? random() : random() * 0.02
        const { code } = await killed.run((done) => done >= share * rows, random() * 120)
        if (isLong)
          process.stdout.write(`seed ${seed}: killed at ${Math.round(share * 100)} % (exit code ${code})\n`)
      }
      const { code, output } = await killed.run()
      expect(code, output).toBe(0)
      expect(await killed.digest()).toBe(expected)
      expect(await killed.admin('select from nomaly.imports where completed_at is null')).toEqual([])
    },
  )
})
