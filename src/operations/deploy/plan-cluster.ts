import { isIP } from 'node:net'
import { invalidField } from '../../errors.ts'
import type { Cluster, Member, Places } from './cluster.ts'
import type { Preset, Timing } from './preset.ts'

/** What an operator decides about a cluster, whatever it runs on. */
export interface ClusterWishes {
  readonly preset: Preset
  readonly timing: Timing
  readonly maxLagBytes: number
  readonly databaseMemoryBytes: number
  /** Where the API is reached; loopback unless it is opened. */
  readonly listen: { readonly host: string; readonly port: number }
  readonly publicUrl: string
  readonly pooler: boolean
}

/** The ports of all parts. Only that of the API may be opened. */
export const PORTS = {
  etcd: 2379,
  etcdPeer: 2380,
  postgres: 5432,
  patroni: 8008,
  primary: 5000,
  replicas: 5001,
  balancerHealth: 5002,
  pooler: 6432,
  redis: 6379,
  sentinel: 26_379,
  api: 8430,
} as const

const THREE = [1, 2, 3]
const DEBIAN_BINARIES = '/usr/lib/postgresql/15/bin'

/** The name server of Docker's networks. */
const DOCKER_RESOLVER = '127.0.0.11:53'
export const BALANCER_HOST_NUMBER = 10

/**
 * A cluster of containers on one network of one machine.
 * @param subnet of that network, such as `172.30.84.0/24`.
 * @throws NomalyError `invalid_input` where it is not the beginning of 256 addresses.
 */
export function planCompose(wishes: ClusterWishes, subnet: string): Cluster {
  const places: Places = { config: '/run/nomaly/config', data: '/var/lib/nomaly', run: '/run/nomaly/run' }
  const member = (name: string, port: number): Member => ({
    name,
    places,
    listenHost: '0.0.0.0',
    host: name,
    port,
  })
  const match = /^(\d+\.\d+\.\d+)\.0\/24$/.exec(subnet)
  if (match === null || isIP(`${match[1]}.0`) !== 4)
    throw invalidField('subnet', `"${subnet}" is not a network such as 172.30.84.0/24`)
  return {
    ...base(wishes),
    etcd: THREE.map((n) => ({ ...member(`etcd${n}`, PORTS.etcd), peerPort: PORTS.etcdPeer })),
    databases: THREE.map((n) => ({ ...member(`db${n}`, PORTS.postgres), restPort: PORTS.patroni })),
    balancers: [
      {
        name: 'balancer',
        places,
        listenHost: '0.0.0.0',
        host: 'balancer',
        primaryPort: PORTS.primary,
        replicasPort: PORTS.replicas,
        apiPort: 8420,
        apiListenHost: '0.0.0.0',
        healthPort: PORTS.balancerHealth,
      },
    ],
    poolers: wishes.pooler ? [member('pooler', PORTS.pooler)] : [],
    redis: THREE.map((n) => member(`redis${n}`, PORTS.redis)),
    sentinels: THREE.map((n) => member(`sentinel${n}`, PORTS.sentinel)),
    apis: [1, 2].map((n) => member(`api${n}`, PORTS.api)),
    workers: [1, 2].map((n) => ({ name: `worker${n}`, places })),
    operators: [{ name: 'operator', places }],
    clientNetworks: ['samenet'],
    proxyAddresses: [`${match[1]}.${BALANCER_HOST_NUMBER}`],
    resolver: DOCKER_RESOLVER,
    watchdog: 'off',
  }
}

/**
 * A cluster of three machines, each with one of everything.
 * @param hosts private addresses of the machines, by which they reach one another.
 * @throws NomalyError `invalid_input` unless they are three different addresses.
 */
export function planSystemd(wishes: ClusterWishes, hosts: readonly string[]): Cluster {
  const wrong = hosts.find((host) => isIP(host) === 0)
  if (wrong !== undefined)
    throw invalidField('hosts', `"${wrong}" is not an IP address`, 'etcd and PostgreSQL bind addresses.')
  if (hosts.length !== 3 || new Set(hosts).size !== 3)
    throw invalidField('hosts', 'must be three different addresses', 'Two of three agree when one is gone.')
  const placesOf = (name: string): Places => ({
    config: `/etc/nomaly/${name}`,
    data: `/var/lib/nomaly/${name}`,
    run: `/run/nomaly/${name}`,
  })
  const each = (kind: string, port: number): Member[] =>
    hosts.map((host, at) => {
      const name = `${kind}${at + 1}`
      return { name, places: placesOf(name), listenHost: host, host, port }
    })
  const onLoopback = (member: Member): Member => ({ ...member, listenHost: '127.0.0.1', host: '127.0.0.1' })
  return {
    ...base(wishes),
    etcd: each('etcd', PORTS.etcd).map((member) => ({ ...member, peerPort: PORTS.etcdPeer })),
    databases: each('db', PORTS.postgres).map((member) => ({ ...member, restPort: PORTS.patroni })),
    // Each serves its own machine only, but for the API.
    balancers: each('balancer', 0).map(({ name, places }) => ({
      name,
      places,
      listenHost: '127.0.0.1',
      host: '127.0.0.1',
      primaryPort: PORTS.primary,
      replicasPort: PORTS.replicas,
      apiPort: wishes.listen.port,
      apiListenHost: wishes.listen.host,
      healthPort: PORTS.balancerHealth,
    })),
    poolers: wishes.pooler ? each('pooler', PORTS.pooler).map(onLoopback) : [],
    redis: each('redis', PORTS.redis),
    sentinels: each('sentinel', PORTS.sentinel),
    apis: each('api', PORTS.api),
    workers: each('worker', 0).map(({ name, places }) => ({ name, places })),
    operators: each('operator', 0).map(({ name, places }) => ({ name, places })),
    clientNetworks: hosts.map((host) => `${host}/${isIP(host) === 6 ? 128 : 32}`),
    proxyAddresses: hosts,
    watchdog: 'automatic',
  }
}

function base({ preset, timing, maxLagBytes, databaseMemoryBytes, publicUrl }: ClusterWishes) {
  return {
    name: 'nomaly',
    preset,
    timing,
    maxLagBytes,
    databaseMemoryBytes,
    publicUrl,
    binaries: DEBIAN_BINARIES,
  }
}
