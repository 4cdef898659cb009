import { X509Certificate } from 'node:crypto'
import { execFile } from 'node:child_process'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { beforeAll, expect, test } from 'vitest'

import { CONFIG_OPTIONS } from '../../src/config/schema.ts'
import { SECRET_NAMES } from '../../src/operations/deploy/cluster.ts'
import { readDeployment, writeDeployment } from '../../src/operations/deploy/deployment-folder.ts'
import type { Deployment } from '../../src/operations/deploy/deployment.ts'
import { CLOCKS } from '../../src/operations/deploy/preset.ts'
import { findClusterPrograms } from '../support/cluster-programs.ts'
import {
  COMPOSE,
  deploy,
  fileOf,
  HOSTS,
  SYSTEMD,
  temporaryFolder,
  written,
  yamlOf,
} from './deployment-fixture.ts'

const run = promisify(execFile)
const MAIN = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts')

interface PatroniFile {
  readonly bootstrap: { readonly dcs: Readonly<Record<string, unknown>> }
  readonly postgresql: { readonly pg_hba: readonly string[] }
}

function patroniOf(deployment: Deployment): PatroniFile {
  return yamlOf(fileOf(deployment, 'machines/machine1/members/db1/patroni.yml')) as PatroniFile
}

let compose: Deployment
let systemd: Deployment

beforeAll(async () => {
  ;[compose, systemd] = await Promise.all([deploy(COMPOSE), deploy(SYSTEMD)])
}, 60_000)

test('secrets stand only in files that their owner alone can read, and never in what is printed', async () => {
  await using folder = await temporaryFolder()
  const out = join(folder.path, 'ha')
  const { stdout, stderr } = await run(process.execPath, [
    '--no-warnings',
    MAIN,
    ...'deploy compose --ha --pooler --output json --folder'.split(' '),
    out,
  ])
  expect(JSON.parse(stdout)).toMatchObject({ kind: 'compose', preset: 'never-lose', isRenewed: false })
  const secrets = await Promise.all(SECRET_NAMES.map((name) => readFile(join(out, 'secrets', name), 'utf8')))
  expect(new Set(secrets).size).toBe(SECRET_NAMES.length)
  expect((await stat(out)).mode & 0o777).toBe(0o700)
  let holding = 0
  for (const entry of await readdir(out, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const text = await readFile(path, 'utf8')
    const isSecret = secrets.some((secret) => text.includes(secret.trim())) || text.includes('PRIVATE KEY')
    if (!isSecret) continue
    holding += 1
    expect((await stat(path)).mode & 0o777, path).toBe(0o600)
  }
  expect(holding).toBeGreaterThan(40)
  for (const secret of secrets) expect(stdout + stderr).not.toContain(secret.trim())
}, 60_000)

test('the same command keeps passwords and authority, issues new certificates, and leaves other folders alone', async () => {
  await using folder = await written(compose)
  const kept = await readDeployment(folder.path, 'compose')
  expect(kept.secrets.admin).toBe(fileOf(compose, 'secrets/admin').trim())
  expect(kept.authority?.key).toBe(fileOf(compose, 'authority/ca.key'))
  const again = await deploy(COMPOSE, {}, kept)
  for (const name of ['authority/ca.crt', 'secrets/admin', 'members/api1/database-url'])
    expect(fileOf(again, name)).toBe(fileOf(compose, name))
  expect(fileOf(again, 'members/db1/tls.crt')).not.toBe(fileOf(compose, 'members/db1/tls.crt'))
  // A certificate for the outside that somebody has put there stays; one of ours is made anew.
  const open = join(folder.path, 'members', 'balancer', 'public.pem')
  await writeDeployment(folder.path, again.files)
  expect(await readFile(open, 'utf8')).toBe(fileOf(again, 'members/balancer/public.pem'))
  const own = fileOf(systemd, 'machines/machine1/members/balancer1/public.pem')
  await writeFile(open, own)
  await writeDeployment(folder.path, again.files)
  expect(await readFile(open, 'utf8')).toBe(own)
  await expect(readDeployment(folder.path, 'systemd')).rejects.toMatchObject({ code: 'conflict' })
  await using other = await temporaryFolder()
  await writeFile(join(other.path, 'notes.txt'), 'mine')
  await expect(readDeployment(other.path, 'compose')).rejects.toMatchObject({ code: 'conflict' })
})

test('every member has a certificate of its own that the authority signed; only etcd and databases may open doors with theirs', () => {
  const authority = new X509Certificate(fileOf(compose, 'authority/ca.crt'))
  const certificates = compose.files.filter(({ name }) => name.endsWith('/tls.crt'))
  expect(certificates.length).toBe(16)
  for (const { name, text } of certificates) {
    const certificate = new X509Certificate(text)
    expect(certificate.verify(authority.publicKey), name).toBe(true)
    const member = name.split('/')[1]!
    expect(certificate.checkHost(member), name).toBe(member)
    const isClient = certificate.keyUsage.includes('1.3.6.1.5.5.7.3.2')
    expect(isClient, name).toBe(/^(?:etcd|db)/.test(member))
    const days = (Date.parse(certificate.validTo) - Date.now()) / 86_400_000
    expect(days, name).toBeGreaterThan(800)
  }
})

test('never lose waits for a standby and stops without one; never stop says what may be lost', async () => {
  const dynamicOf = (deployment: Deployment): Record<string, unknown> => patroniOf(deployment).bootstrap.dcs
  expect(dynamicOf(systemd)).toMatchObject({
    synchronous_mode: true,
    synchronous_mode_strict: true,
    failsafe_mode: true,
    postgresql: { parameters: { synchronous_commit: 'on', wal_retrieve_retry_interval: '100ms' } },
  })
  const fast = await deploy(SYSTEMD, { preset: 'never-stop', timing: 'fast', maxLagBytes: 2 * 1_048_576 })
  expect(dynamicOf(fast)).toMatchObject({
    synchronous_mode: false,
    failsafe_mode: true,
    maximum_lag_on_failover: 2 * 1_048_576,
    ttl: 5,
    loop_wait: 1,
    retry_timeout: 2,
  })
  expect(fast.loss).toContain('at most 2MB')
  expect(fileOf(fast, 'README.md')).toContain(fast.loss)
  for (const { ttlSeconds, loopWaitSeconds, retryTimeoutSeconds } of Object.values(CLOCKS))
    expect(loopWaitSeconds + 2 * retryTimeoutSeconds).toBeLessThanOrEqual(ttlSeconds)
}, 60_000)

test('PostgreSQL takes connections over TLS with a password only', () => {
  const { pg_hba: lines } = patroniOf(systemd).postgresql
  for (const line of lines) expect(line).toMatch(/^(?:local|hostssl) .* scram-sha-256$/)
  const networks = lines.filter((line) => line.startsWith('hostssl')).map((line) => line.split(' ')[3])
  expect([...new Set(networks)]).toEqual(HOSTS.map((host) => `${host}/32`))
})

test('the environment of a process names settings that there are', () => {
  const known = new Set(Object.values(CONFIG_OPTIONS).flatMap(({ env }) => [env, `${env}_FILE`]))
  const files = compose.files.filter(({ name }) => name.endsWith('nomaly.env'))
  expect(files.length).toBe(5)
  const names = files.flatMap(({ text }) =>
    text.split('\n').flatMap((line) => /^([A-Z_]+)=/.exec(line)?.[1] ?? []),
  )
  const foreign = ['NODE_ENV', 'NODE_EXTRA_CA_CERTS']
  expect([...new Set(names)].filter((name) => !known.has(name) && !foreign.includes(name))).toEqual([])
})

test('HAProxy takes what was written for it', async () => {
  const { haproxy } = await findClusterPrograms()
  for (const [deployment, member, config] of [
    [compose, 'members/balancer', '/run/nomaly/config'],
    [systemd, 'machines/machine3/members/balancer3', '/etc/nomaly/balancer3'],
  ] as const) {
    await using folder = await written(deployment)
    const own = join(folder.path, member)
    const text = (await readFile(join(own, 'haproxy.cfg'), 'utf8')).replaceAll(config, own)
    await writeFile(join(own, 'checked.cfg'), text)
    const { stdout } = await run(haproxy, ['-c', '-f', join(own, 'checked.cfg')])
    expect(stdout).toContain('Configuration file is valid')
  }
}, 120_000)

test('scripts are read by a shell, and units by systemd where there is one', async () => {
  await using folder = await written(systemd)
  await run('/bin/sh', ['-n', join(folder.path, 'machines/machine1/install.sh')])
  await using other = await written(compose)
  for (const image of ['database', 'nomaly'])
    await run('/bin/sh', ['-n', join(other.path, `images/${image}/entrypoint.sh`)])
  const units = join(folder.path, 'machines/machine2/units')
  const names = await readdir(units)
  expect(names.sort()).toEqual(
    ['target', ...'api balancer database etcd pooler redis sentinel worker'.split(' ')]
      .map((kind) => (kind === 'target' ? 'nomaly.target' : `nomaly-${kind}.service`))
      .sort(),
  )
  if (
    await run('systemd-analyze', ['--version']).then(
      () => false,
      () => true,
    )
  )
    return
  await findClusterPrograms()
  const { stderr } = await run('systemd-analyze', ['verify', ...names.map((name) => join(units, name))], {
    env: { ...process.env, SYSTEMD_UNIT_PATH: `${units}:/lib/systemd/system` },
  })
  expect(stderr).toBe('')
}, 120_000)

test('three machines are three different addresses', async () => {
  for (const hosts of [['10.0.0.1'], ['10.0.0.1', '10.0.0.1', '10.0.0.2'], ['a', 'b', 'c']])
    await expect(deploy({ kind: 'systemd', hosts, program: '/bin/true' })).rejects.toMatchObject({
      code: 'invalid_input',
    })
})
