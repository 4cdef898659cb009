import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { Client } from 'pg'

import { chooseAccount, identityOf, type ServerAccount } from '../../src/database/embedded-account.ts'
import { makeAuthority } from '../../src/operations/deploy/authority.ts'
import {
  ADMIN_LOGIN,
  APPLICATION_LOGIN,
  type Cluster,
  type ClusterSecrets,
  DATABASE_NAME,
  type Member,
  PATRONI_USER,
} from '../../src/operations/deploy/cluster.ts'
import { makeSecrets } from '../../src/operations/deploy/make-secrets.ts'
import { DEFAULT_MAX_LAG_BYTES, type Preset, type Timing } from '../../src/operations/deploy/preset.ts'
import { renderMembers } from '../../src/operations/deploy/render-members.ts'
import { askPatroni, type ClusterMemberState, type PatroniAnswer } from './ask-patroni.ts'
import { planLocalCluster } from './cluster-plan.ts'
import { type ClusterPrograms, findClusterPrograms } from './cluster-programs.ts'
import { DatabaseNode } from './database-node.ts'
import { guardFolder, killIn, LocalProcess } from './local-process.ts'
import { TcpProxy } from './tcp-proxy.ts'
import { writeMembers } from './write-members.ts'

export interface DatabaseClusterOptions {
  readonly preset?: Preset
  readonly timing?: Timing
  readonly maxLagBytes?: number
  /** Three Redis and three Sentinels too. */
  readonly redis?: boolean
  /** PgBouncer in front of the balancer too. */
  readonly pooler?: boolean
}

/**
 * A cluster of a test's own from what `nomaly deploy` generates: three etcd, three Patroni with PostgreSQL, HAProxy, and where wished Redis with
 * Sentinels and PgBouncer, as processes of this machine in one temporary folder. All end with this process, however that ends.
 */
export class DatabaseCluster implements AsyncDisposable {
  readonly folder: string
  readonly plan: Cluster
  readonly secrets: ClusterSecrets
  readonly nodes: readonly DatabaseNode[]
  readonly etcd: readonly LocalProcess[]
  readonly balancer: LocalProcess
  readonly redis: readonly LocalProcess[]
  readonly sentinels: readonly LocalProcess[]
  readonly pooler: LocalProcess | undefined
  readonly #resources = new AsyncDisposableStack()

  private constructor(
    folder: string,
    plan: Cluster,
    secrets: ClusterSecrets,
    links: ReadonlyMap<number, TcpProxy>,
    programs: ClusterPrograms,
    account: ServerAccount,
  ) {
    this.folder = folder
    this.plan = plan
    this.secrets = secrets
    const make = (member: Pick<Member, 'name'>, command: string, args: string[]): LocalProcess =>
      new LocalProcess({ command, args, folder: join(folder, member.name), account: identityOf(account) })
    this.etcd = plan.etcd.map((member) => make(member, programs.etcd, ['--config-file', 'config/etcd.yml']))
    this.nodes = plan.databases.map(
      (member) =>
        new DatabaseNode({
          member,
          link: links.get(member.port)!,
          patroni: make(member, programs.patroni, ['config/patroni.yml']),
          folder: join(folder, member.name),
          url: this.url(member, 'postgres', 'superuser', 'postgres'),
        }),
    )
    this.balancer = make(plan.balancers[0]!, programs.haproxy, ['-f', 'config/haproxy.cfg'])
    this.redis = plan.redis.map((member) => make(member, programs['redis-server'], ['data/redis.conf']))
    this.sentinels = plan.sentinels.map((member) =>
      make(member, programs['redis-sentinel'], ['data/sentinel.conf']),
    )
    const pooler = plan.poolers[0]
    this.pooler =
      pooler === undefined ? undefined : make(pooler, programs.pgbouncer, ['config/pgbouncer.ini'])
  }

  /**
   * Starts a cluster; resolves when it has a leader, both standbys follow it, and it can be written to by way of the balancer.
   * @throws Error with the end of every log where that takes longer than two minutes.
   */
  static async start(options: DatabaseClusterOptions = {}): Promise<DatabaseCluster> {
    const programs = await findClusterPrograms()
    await using stack = new AsyncDisposableStack()
    const folder = await mkdtemp(join(tmpdir(), 'nomaly-cluster-'))
    // The servers' user must pass through when root runs the tests.
    await chmod(folder, 0o711)
    const guard = guardFolder(folder)
    stack.defer(async () => {
      await killIn(folder)
      guard.kill('SIGKILL')
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    })
    const links = new Map<number, TcpProxy>()
    const plan = await planLocalCluster({
      folder,
      binaries: programs.binaries,
      preset: options.preset ?? 'never-lose',
      timing: options.timing ?? 'fast',
      maxLagBytes: options.maxLagBytes ?? DEFAULT_MAX_LAG_BYTES,
      withRedis: options.redis ?? false,
      withPooler: options.pooler ?? false,
      proxyTo: async (port) => {
        const proxy = stack.use(await TcpProxy.to(`postgresql://127.0.0.1:${port}`))
        links.set(port, proxy)
        return Number(new URL(proxy.url('postgresql://localhost:1')).port)
      },
    })
    const secrets = makeSecrets()
    const account = await chooseAccount([])
    await writeMembers(plan, await renderMembers(plan, secrets, await makeAuthority(plan.name)), account)
    const cluster = new DatabaseCluster(folder, plan, secrets, links, programs, account)
    await cluster.#launch()
    cluster.#resources.use(stack.move())
    return cluster
  }

  /** Where writes go: by way of the balancer, as the login that may migrate. */
  get adminUrl(): string {
    return this.url(this.#balancer('primaryPort'), ADMIN_LOGIN, 'admin')
  }

  /** The same as the application's login. */
  get applicationUrl(): string {
    return this.url(this.#balancer('primaryPort'), APPLICATION_LOGIN, 'application')
  }

  /** The databases one by one as the application's login, whichever leads. */
  get databaseUrls(): string[] {
    return this.plan.databases.map((member) => this.url(member, APPLICATION_LOGIN, 'application'))
  }

  /** Any standby, by way of the balancer, as the application's login. */
  get replicasUrl(): string {
    return this.url(this.#balancer('replicasPort'), APPLICATION_LOGIN, 'application')
  }

  /** The authority's certificate, PEM. */
  get authorityFile(): string {
    return join(this.plan.balancers[0]!.places.config, 'ca.crt')
  }

  /** Addresses of all Patroni, with the login that may change something. */
  get patroniUrls(): string[] {
    const login = `${PATRONI_USER}:${encodeURIComponent(this.secrets.patroni)}`
    return this.plan.databases.map(({ host, restPort }) => `https://${login}@${host}:${restPort}`)
  }

  /** A URL of a member for a login, over TLS that trusts the cluster's authority only. */
  url(
    { host, port }: { readonly host: string; readonly port: number },
    login: string,
    secret: keyof ClusterSecrets,
    database = DATABASE_NAME,
  ): string {
    const url = new URL(`postgresql://${host}:${port}/${database}`)
    url.username = login
    url.password = this.secrets[secret]
    url.searchParams.set('sslmode', 'verify-full')
    url.searchParams.set('sslrootcert', this.authorityFile)
    return url.href
  }

  /** What the members say of one another, by the first Patroni that answers; empty where none does. */
  async members(): Promise<ClusterMemberState[]> {
    for (const node of this.nodes) {
      const answer = await this.ask(node, '/cluster').catch(() => undefined)
      if (answer?.status === 200)
        return (JSON.parse(answer.body) as { members: ClusterMemberState[] }).members
    }
    return []
  }

  /** The node that leads by its own word, as the balancer asks it; waits for one up to `timeoutMs`. */
  async leader(timeoutMs = 60_000): Promise<DatabaseNode> {
    return this.#eventually('a leader', timeoutMs, async () => {
      for (const node of this.nodes) {
        const answer = await this.ask(node, '/primary').catch(() => undefined)
        if (answer?.status === 200) return node
      }
      return undefined
    })
  }

  /** The nodes that do not lead. */
  async standbys(): Promise<DatabaseNode[]> {
    const leader = await this.leader()
    return this.nodes.filter((node) => node !== leader)
  }

  /** Waits until a write by way of the balancer is acknowledged: it notices a new leader a moment after that knows. */
  async untilWritable(timeoutMs = 60_000): Promise<void> {
    await this.#eventually('a write', timeoutMs, () => this.#takesWrites())
  }

  /** Waits until all members run, on one timeline, one of them synchronous where the preset wants it, and writes are taken. */
  async untilWhole(timeoutMs = 120_000): Promise<void> {
    await this.#eventually('the whole cluster', timeoutMs, async () => {
      const members = await this.members()
      const isLed = members.filter(({ role }) => role === 'leader').length === 1
      const isSafe = this.plan.preset === 'never-stop' || members.some(({ role }) => role === 'sync_standby')
      const areUp = members.filter(({ state }) => state === 'running' || state === 'streaming').length === 3
      const timelines = new Set(members.map(({ timeline }) => timeline))
      return isLed && isSafe && areUp && timelines.size === 1 && (await this.#takesWrites())
    })
  }

  /** Asks a Patroni; with a body it is a POST under the login that may change something. */
  async ask(node: DatabaseNode, path: string, body?: unknown): Promise<PatroniAnswer> {
    const login = body === undefined ? undefined : `${PATRONI_USER}:${this.secrets.patroni}`
    return askPatroni(node.restUrl + path, { authority: this.#authority, login, body })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync()
  }

  #authority = ''

  async #launch(): Promise<void> {
    this.#authority = await readFile(this.authorityFile, 'utf8')
    await Promise.all([...this.etcd, this.balancer].map((process) => process.start()))
    await Promise.all([...this.nodes, ...this.redis].map((process) => process.start()))
    await Promise.all([...this.sentinels, ...(this.pooler ? [this.pooler] : [])].map((it) => it.start()))
    await Promise.race([this.untilWhole(), this.#untilOneEnds()])
  }

  /** A process that ends while the cluster starts is a mistake in its configuration: what it said is what matters. */
  async #untilOneEnds(): Promise<never> {
    const databases = this.nodes.map(({ patroni }) => patroni)
    const all = [...this.etcd, ...databases, this.balancer, ...this.redis, ...this.sentinels]
    const ends = [...all, ...(this.pooler ? [this.pooler] : [])].map(async (process) => {
      await process.ended
      throw new Error(`A process of the cluster ended by itself:\n${await process.tail()}`)
    })
    return Promise.race(ends)
  }

  /** A write that is acknowledged: with *never lose* only when a standby has it. */
  async #takesWrites(): Promise<boolean> {
    const client = new Client({
      connectionString: this.url(this.#balancer('primaryPort'), 'postgres', 'superuser', 'postgres'),
      connectionTimeoutMillis: 2_000,
      query_timeout: 2_000,
    })
    client.on('error', () => {})
    try {
      await client.connect()
      await client.query('select txid_current()')
      return true
    } catch {
      return false
    } finally {
      await client.end().catch(() => {})
    }
  }

  async #tails(): Promise<string> {
    const shown = { etcd: this.etcd[0]!, balancer: this.balancer, database: this.nodes[0]!.patroni }
    const tails = Object.entries(shown).map(async ([name, it]) => `${name}:\n${await it.tail()}`)
    return (await Promise.all(tails)).join('\n')
  }

  #balancer(port: 'primaryPort' | 'replicasPort'): { host: string; port: number } {
    const balancer = this.plan.balancers[0]!
    return { host: balancer.host, port: balancer[port] }
  }

  async #eventually<T>(
    what: string,
    timeoutMs: number,
    look: () => Promise<T | undefined | false>,
  ): Promise<T> {
    const until = Date.now() + timeoutMs
    for (;;) {
      const found = await look()
      if (found !== undefined && found !== false) return found
      if (Date.now() > until)
        throw new Error(`Waited ${timeoutMs} ms for ${what} in vain.\n${await this.#tails()}`)
      await sleep(100)
    }
  }
}
