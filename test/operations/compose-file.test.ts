import { beforeAll, expect, test } from 'vitest'

import { partsOf } from '../../src/operations/deploy/part-kinds.ts'
import type { Deployment } from '../../src/operations/deploy/deployment.ts'
import { COMPOSE, deploy, fileOf, yamlOf } from './deployment-fixture.ts'

interface Service {
  readonly image: string
  readonly build: string
  readonly command: readonly string[]
  readonly volumes: readonly string[]
  readonly env_file?: readonly string[]
  readonly ports?: readonly string[]
  readonly profiles?: readonly string[]
  readonly restart: string
  readonly healthcheck?: { readonly test: readonly string[] }
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly networks: readonly string[] | Readonly<Record<string, unknown>>
  readonly read_only: boolean
  readonly cap_drop: readonly string[]
}

interface ComposeFile {
  readonly services: Readonly<Record<string, Service>>
  readonly networks: Readonly<Record<string, unknown>>
  readonly volumes: Readonly<Record<string, unknown>>
}

/** Of the JSON schema of the Compose Specification, what is used here: the keys of a service, and of what stands in one. */
const SERVICE_KEYS =
  'build cap_add cap_drop command depends_on env_file environment healthcheck image init logging networks ports profiles read_only restart security_opt shm_size stop_grace_period tmpfs ulimits volumes'
const HEALTH_KEYS = 'interval retries start_period test timeout'

let deployment: Deployment
let file: ComposeFile

beforeAll(async () => {
  deployment = await deploy(COMPOSE)
  file = yamlOf(fileOf(deployment, 'compose.yaml')) as ComposeFile
})

function services(): [string, Service][] {
  return Object.entries(file.services)
}

test('there is a service for every part, with keys that the specification knows', () => {
  expect(Object.keys(file.services).sort()).toEqual(
    partsOf(deployment.cluster)
      .map(({ name }) => name)
      .sort(),
  )
  const known = Object.keys(file).filter((key) => !key.startsWith('x-'))
  expect(known).toEqual(['name', 'services', 'networks', 'volumes'])
  for (const [name, service] of services()) {
    expect(
      Object.keys(service).filter((key) => !SERVICE_KEYS.split(' ').includes(key)),
      name,
    ).toEqual([])
    const health = Object.keys(service.healthcheck ?? {})
    expect(
      health.filter((key) => !HEALTH_KEYS.split(' ').includes(key)),
      name,
    ).toEqual([])
  }
})

test('nothing is reached from outside but the API, and that from this machine alone', () => {
  const open = services().filter(([, { ports }]) => ports !== undefined)
  expect(open.map(([name, { ports }]) => [name, ports])).toEqual([['balancer', ['127.0.0.1:8420:8420']]])
  const out = services().filter(([, { networks }]) =>
    (Array.isArray(networks) ? networks : Object.keys(networks)).includes('outside'),
  )
  expect(out.map(([name]) => name).sort()).toEqual(
    ['api1', 'api2', 'balancer', 'operator', 'worker1', 'worker2'].sort(),
  )
})

test('every part is pinned, restarts, is asked how it is, and can write nowhere but to its volume', () => {
  for (const [name, service] of services()) {
    expect(service.image, name).toMatch(/^[a-z-]+:1\.2\.3$/)
    expect(fileOf(deployment, `${service.build.slice(2)}/Dockerfile`), name).toMatch(
      /^FROM [a-z]+:\d+\.\S+$/m,
    )
    expect(service.read_only, name).toBe(true)
    expect(service.cap_drop, name).toEqual(['ALL'])
    const isTool = name === 'operator'
    expect(service.restart, name).toBe(isTool ? 'no' : 'unless-stopped')
    expect(service.healthcheck !== undefined, name).toBe(!isTool && !name.startsWith('worker'))
  }
})

test('what a service mounts, reads and waits for exists', () => {
  const paths = deployment.files.map(({ name }) => name)
  for (const [name, service] of services()) {
    for (const volume of service.volumes) {
      const [source] = volume.split(':')
      if (source!.startsWith('./'))
        expect(
          paths.some((path) => `./${path}`.startsWith(`${source}/`)),
          volume,
        ).toBe(true)
      else expect(Object.keys(file.volumes), name).toContain(source)
    }
    for (const path of service.env_file ?? []) expect(paths).toContain(path.slice(2))
    for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
      expect(condition).toBe('service_healthy')
      expect(file.services[other]?.healthcheck, `${name} waits for ${other}`).toBeDefined()
    }
  }
})

test('no service waits for one that waits for it', () => {
  const visit = (name: string, path: readonly string[]): void => {
    expect(path, `${name} waits for itself`).not.toContain(name)
    for (const other of Object.keys(file.services[name]!.depends_on ?? {})) visit(other, [...path, name])
  }
  for (const [name] of services()) visit(name, [])
})
