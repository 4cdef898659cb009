import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { Member } from '../../src/operations/deploy/cluster.ts'
import { LocalProcess } from './local-process.ts'

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts')

/** An API of a cluster, `nomaly start --api-only` under the environment that was generated for it; not started yet. */
export async function clusterApi(
  member: Member,
  environment: Readonly<Record<string, string>> = {},
): Promise<LocalProcess> {
  const { places } = member
  const lines = (await readFile(join(places.config, 'nomaly.env'), 'utf8')).split('\n')
  const generated = lines.flatMap((line) => {
    const at = line.indexOf('=')
    return line.startsWith('#') || at === -1 ? [] : [[line.slice(0, at), line.slice(at + 1)] as const]
  })
  return new LocalProcess({
    command: process.execPath,
    args: ['--no-warnings', MAIN, 'start', '--api-only'],
    folder: join(places.config, '..'),
    account: {},
    environment: { ...Object.fromEntries(generated), ...environment },
  })
}
