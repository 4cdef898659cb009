import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { expectedCounts } from './expected-counts.ts'
import { digest, hasSamples, NO_SAMPLES, openImportFixture, SAMPLES } from './import-fixture.ts'

/** Every file below a folder with size, time of change and checksum. */
function snapshot(folder: string): unknown[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted()
    .map((path) => {
      const { size, mtimeMs } = statSync(path)
      return [path, size, mtimeMs, createHash('sha256').update(readFileSync(path)).digest('hex')]
    })
}

describe.skipIf(!hasSamples)(`the samples of Pynomaly (${hasSamples ? 'found' : NO_SAMPLES})`, () => {
  const expected = (): unknown => JSON.parse(readFileSync(join(SAMPLES, 'expected.json'), 'utf8'))

  it('come to exactly what is expected, twice in a row without change', async () => {
    const { run, admin } = await openImportFixture()
    const files = snapshot(SAMPLES)
    const report = await run(SAMPLES)
    expect(expectedCounts(report)).toEqual(expected())
    expect(report.isRight).toBe(true)
    expect(report.passedOver).toEqual([
      { file: 'expected.json', reason: 'is JSON, but no store of detectors, datasets or results' },
    ])
    for (const { comparisons } of report.stores)
      for (const { what, source, target, sourceChecksum, targetChecksum, wrong } of comparisons)
        expect({ what, target, targetChecksum, wrong }).toEqual({
          what,
          target: source,
          targetChecksum: sourceChecksum,
          wrong: [],
        })
    const kept = await digest(admin)
    const again = await run(SAMPLES)
    expect(again.stores.every(({ isRepeated }) => isRepeated)).toBe(true)
    expect(expectedCounts(again)).toEqual(expected())
    expect(await digest(admin)).toBe(kept)
    // Looked at anew, everything is there already.
    const anew = await run(SAMPLES, { again: true })
    expect(anew).toMatchObject({ isRight: true })
    expect(expectedCounts(anew)).toEqual(expected())
    for (const { tables } of anew.stores)
      for (const { noun, stored } of tables) if (noun !== 'metrics') expect(stored).toBe(0)
    expect(await digest(admin)).toBe(kept)
    expect(snapshot(SAMPLES)).toEqual(files)
  })

  it('are planned as they are imported, and a plan changes nothing', async () => {
    const { run, admin } = await openImportFixture()
    const before = await digest(admin)
    const plan = await run(SAMPLES, { dryRun: true })
    expect(plan.isPlan).toBe(true)
    expect(expectedCounts(plan)).toEqual(expected())
    expect(await digest(admin)).toBe(before)
    expect(await admin('select from nomaly.imports')).toEqual([])
    const report = await run(SAMPLES)
    const shape = ({ stores }: typeof report): unknown =>
      stores.map(({ name, tables, quarantine }) => ({
        name,
        tables: tables.map(({ table, rows, stored, present, quarantined, findings, fills }) => ({
          table,
          rows,
          stored,
          present,
          quarantined,
          findings,
          fills,
        })),
        aside: quarantine
          .map(({ table, place, reason, detail }) => [table, place, reason, detail].join(' '))
          .toSorted(),
      }))
    expect(shape(plan)).toEqual(shape(report))
  })

  it('keep ids, scores, times and hashes as they were', async () => {
    const { run, admin } = await openImportFixture()
    await run(join(SAMPLES, 'pynomaly.db'))
    const [user] = await admin<{ hash: string; created: string; tenant: string }>(
      `select password_hash as hash, (created_at at time zone 'UTC')::text as created, tenant_id as tenant
       from nomaly.users where id = 'b2221a58-008a-45a6-8464-7159c324c985'`,
    )
    expect(user).toEqual({
      hash: `$2b$12$${'x'.repeat(53)}`,
      created: '2025-06-01 00:00:00.939167',
      tenant: 'cd613e30-d8f1-4adf-91b7-584a2265b1f5',
    })
    const tenants = await admin<{ name: string }>('select name from nomaly.tenants order by 1')
    expect(tenants.map(({ name }) => name)).toEqual([
      'default',
      'tenant',
      'tenant-0-e',
      'tenant-1-e',
      'tenant-2-e',
    ])
    const [counts] = await admin<Record<string, number>>(
      `select sum(cardinality(scores))::int as scores, count(*)::int as results,
         (select count(*)::int from nomaly.row_findings) as findings,
         (select count(*)::int from nomaly.row_results where 'NaN' = any(scores)) as "withNan",
         (select count(*)::int from nomaly.row_findings f join nomaly.row_results r on r.id = f.result_id
          where f.score is distinct from r.scores[f.row_index + 1] or not r.labels[f.row_index + 1]) as wrong
       from nomaly.row_results`,
    )
    expect(counts).toMatchObject({ results: 58, withNan: 2, wrong: 0 })
    expect(counts!['findings']).toBeGreaterThan(500)
    const severities = await admin<{ severity: string }>('select distinct severity from nomaly.row_findings')
    expect(severities).toEqual([{ severity: 'critical' }])
    const names = await admin<{ name: string }>('select name from nomaly.row_detectors order by 1')
    expect(names.map(({ name }) => name)).toContain('LOF dc6b13ab')
    expect(names.map(({ name }) => name)).toContain('Detector 0')
    const [model] = await admin<{ metadata: unknown }>(
      `select metadata from nomaly.row_detectors where id = '2d5db79b-a2a7-4e1f-bac7-652ccdf84404'`,
    )
    expect(JSON.stringify(model)).not.toContain('gASV')
  })
})
