import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { importPynomaly } from '../../src/operations/import/import-pynomaly.ts'
import type { Store } from '../../src/store/store.ts'
import { AT, DATASETS, DETECTORS, RESULTS, USERS, writeSqlite } from './import-fixture.ts'

/** Imports one of everything into a tenant, and something that is set aside; every name has a word in it. */
export async function importOneOfEach(store: Store, tenant: string, word: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'nomaly-test-import-'))
  try {
    const path = join(folder, 'pynomaly.db')
    const times = { created_at: AT, updated_at: AT }
    const [user, dataset, detector] = ['1', '2', '3'].map(
      (digit) => `${digit.repeat(8)}-1111-4111-8111-111111111111`,
    )
    writeSqlite(path, {
      users: {
        columns: USERS,
        rows: [{ id: user!, email: `${word}@example.org`, username: word, status: 'active', ...times }],
      },
      user_roles: {
        columns: 'user_id text, tenant_id text, role_id text, granted_at datetime',
        rows: [{ user_id: user!, tenant_id: user!, role_id: 'viewer', granted_at: AT }],
      },
      datasets: { columns: DATASETS, rows: [{ id: dataset!, name: `${word}-imported`, ...times }] },
      detectors: {
        columns: DETECTORS,
        rows: [
          { id: detector!, algorithm: word, ...times },
          { id: null, algorithm: word, ...times },
        ],
      },
      detection_results: {
        columns: RESULTS,
        rows: [
          {
            id: user!,
            detector_id: detector!,
            dataset_id: dataset!,
            scores: '[0.95]',
            labels: '[1]',
            created_at: AT,
          },
        ],
      },
      training_jobs: {
        columns: 'job_id text, name text, status text',
        rows: [{ job_id: word, name: word, status: 'queued' }],
      },
    })
    await importPynomaly(store, {
      path,
      tenant,
      zone: undefined,
      systemZone: 'UTC',
      dryRun: false,
      again: false,
      actor: 'operator:test',
      clock: Date.now,
      signal: new AbortController().signal,
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
