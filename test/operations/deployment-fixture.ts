import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'

import { writeDeployment } from '../../src/operations/deploy/deployment-folder.ts'
import {
  type Deployment,
  type DeploymentRequest,
  type KeptSecrets,
  renderDeployment,
  type Target,
} from '../../src/operations/deploy/deployment.ts'
import type { ClusterWishes } from '../../src/operations/deploy/plan-cluster.ts'
import { DEFAULT_MAX_LAG_BYTES } from '../../src/operations/deploy/preset.ts'

export const COMPOSE: Target = { kind: 'compose', subnet: '172.30.84.0/24' }
export const HOSTS = ['10.0.0.1', '10.0.0.2', '10.0.0.3']
export const SYSTEMD: Target = { kind: 'systemd', hosts: HOSTS, program: '/usr/bin/true' }

/** What an operator asks for who says nothing. */
export const WISHES: ClusterWishes = {
  preset: 'never-lose',
  timing: 'default',
  maxLagBytes: DEFAULT_MAX_LAG_BYTES,
  databaseMemoryBytes: 2 * 1_073_741_824,
  listen: { host: '127.0.0.1', port: 8420 },
  publicUrl: 'https://localhost:8420',
  pooler: true,
}

/** A deployment, made anew for a target. */
export function deploy(
  target: Target,
  wishes: Partial<ClusterWishes> = {},
  kept: KeptSecrets = { secrets: {}, authority: undefined },
): Promise<Deployment> {
  const request: DeploymentRequest = { wishes: { ...WISHES, ...wishes }, target, version: '1.2.3' }
  return renderDeployment(request, kept)
}

/** The text of one of its files. */
export function fileOf({ files }: Deployment, name: string): string {
  const file = files.find((one) => one.name === name)
  if (file === undefined) throw new Error(`There is no ${name} among ${files.length} files.`)
  return file.text
}

/** What YAML says, with anchors and merges resolved. */
export function yamlOf(text: string): unknown {
  return parse(text, { merge: true, maxAliasCount: -1 })
}

/** A temporary folder, removed when disposed of. */
export async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'nomaly-deploy-'))
  await chmod(path, 0o711)
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

/** The same, with the files of a deployment in it. */
export async function written(deployment: Deployment): Promise<{ path: string } & AsyncDisposable> {
  const folder = await temporaryFolder()
  await writeDeployment(join(folder.path, 'out'), deployment.files)
  return { ...folder, path: join(folder.path, 'out') }
}
