import { NomalyError } from '../../errors.ts'
import { type KeyPair, makeAuthority } from './authority.ts'
import { type Cluster, type ClusterSecrets, type ConfigFile, SECRET_NAMES } from './cluster.ts'
import { makeSecrets } from './make-secrets.ts'
import { type Part, partsOf } from './part-kinds.ts'
import { type ClusterWishes, planCompose, planSystemd, PORTS } from './plan-cluster.ts'
import { describeLoss } from './preset.ts'
import { renderCompose } from './render-compose.ts'
import { renderImages } from './render-images.ts'
import { renderInstall } from './render-install.ts'
import { type MemberFiles, renderMembers } from './render-members.ts'
import { renderReadme } from './render-readme.ts'
import { renderUnits } from './render-units.ts'

/** Where a cluster is to run. */
export type Target =
  | { readonly kind: 'compose'; readonly subnet: string }
  | {
      readonly kind: 'systemd'
      /** Private addresses of the three machines. */
      readonly hosts: readonly string[]
      /** Where `nomaly` is on each of them. */
      readonly program: string
    }

export interface DeploymentRequest {
  readonly wishes: ClusterWishes
  readonly target: Target
  /** Of Nomaly itself. */
  readonly version: string
}

/** What an earlier call has left: passwords and authority stay as they are. */
export interface KeptSecrets {
  readonly secrets: Partial<ClusterSecrets>
  readonly authority: KeyPair | undefined
}

/** A complete set of files, with paths below one folder. */
export interface Deployment {
  readonly files: readonly ConfigFile[]
  /** What can be lost, in one sentence. */
  readonly loss: string
  readonly cluster: Cluster
}

/**
 * Makes all files of a highly available installation.
 * @param progress hears how many members of how many are done.
 * @throws NomalyError `invalid_input` where the wishes cannot be met, `unavailable` without openssl.
 */
export async function renderDeployment(
  { wishes, target, version }: DeploymentRequest,
  kept: KeptSecrets,
  progress: (done: number, total: number) => void = () => {},
): Promise<Deployment> {
  requireFreePort(wishes, target)
  const cluster =
    target.kind === 'compose' ? planCompose(wishes, target.subnet) : planSystemd(wishes, target.hosts)
  const parts = partsOf(cluster)
  const secrets = makeSecrets(kept.secrets)
  const authority = kept.authority ?? (await makeAuthority(cluster.name))
  const members = await renderMembers(cluster, secrets, authority, (done) => progress(done, parts.length))
  const { preset, timing, maxLagBytes } = cluster
  const loss = describeLoss(preset, timing, maxLagBytes)
  const hosts = target.kind === 'systemd' ? target.hosts : []
  const files: ConfigFile[] = [
    { name: 'README.md', text: renderReadme(target.kind, cluster, hosts), mode: 0o644 },
    { name: 'deployment.json', text: describe({ wishes, target, version }), mode: 0o644 },
    // The folder may stand in somebody's repository: nothing of it belongs there.
    { name: '.gitignore', text: '*\n', mode: 0o644 },
    { name: 'authority/ca.crt', text: authority.certificate, mode: 0o644 },
    { name: 'authority/ca.key', text: authority.key, mode: 0o600 },
    ...SECRET_NAMES.map((name): ConfigFile => ({
      name: `secrets/${name}`,
      text: `${secrets[name]}\n`,
      mode: 0o600,
    })),
  ]
  if (target.kind === 'compose') {
    const text = renderCompose(cluster, { subnet: target.subnet, listen: wishes.listen, version })
    files.push({ name: 'compose.yaml', text, mode: 0o644 }, ...below('images', renderImages(version)))
    for (const [name, own] of members) files.push(...below(`members/${name}`, own))
  } else
    for (const [at] of target.hosts.entries())
      files.push(
        ...below(`machines/machine${at + 1}`, machine(at, cluster, members, { wishes, target, version })),
      )
  return { files, loss, cluster }
}

/** What one machine gets: its members, their units, and the script that puts them in place. */
function machine(
  at: number,
  cluster: Cluster,
  members: MemberFiles,
  { wishes, target, version }: DeploymentRequest & { readonly target: { readonly kind: 'systemd' } },
): ConfigFile[] {
  const { hosts, program } = target
  // Members of a kind are numbered as the machines are.
  const parts: Part[] = partsOf(cluster).filter(({ name }) => name.endsWith(String(at + 1)))
  return [
    { name: 'install.sh', text: renderInstall(parts, program, version), mode: 0o755 },
    ...below('units', renderUnits(cluster, parts, { hosts, program, listen: wishes.listen })),
    ...parts.flatMap(({ name }) => below(`members/${name}`, members.get(name)!)),
  ]
}

/** What was asked for, without a secret: tells a later call that the folder is its own. */
function describe({ wishes, target, version }: DeploymentRequest): string {
  return `${JSON.stringify({ version, ...wishes, ...target }, undefined, 2)}\n`
}

function below(folder: string, files: readonly ConfigFile[]): ConfigFile[] {
  return files.map((file) => ({ ...file, name: `${folder}/${file.name}` }))
}

function requireFreePort({ listen }: ClusterWishes, { kind }: Target): void {
  const taken = Object.entries(PORTS).find(([, port]) => port === listen.port)
  if (kind === 'compose' || taken === undefined) return
  throw new NomalyError('invalid_input', `Port ${listen.port} is taken by another part (${taken[0]}).`, {
    hint: 'Choose another one with --listen, such as 127.0.0.1:8420.',
    problems: [{ field: 'listen', reason: 'is the port of another part' }],
  })
}
