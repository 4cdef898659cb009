import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import type { DatabaseMember } from '../../src/operations/deploy/cluster.ts'
import { killIn, type LocalProcess, processesIn } from './local-process.ts'
import type { TcpProxy } from './tcp-proxy.ts'

/** One machine of the cluster, as far as the database is concerned: Patroni and its PostgreSQL. */
export class DatabaseNode {
  readonly member: DatabaseMember
  readonly patroni: LocalProcess
  /** What replication and `pg_rewind` of the others pass through to this one: cut it, and nothing that is committed here leaves. */
  readonly link: TcpProxy
  readonly folder: string
  /** Straight to its PostgreSQL as superuser, past balancer and proxy. */
  readonly url: string

  constructor(parts: Pick<DatabaseNode, 'member' | 'link' | 'patroni' | 'folder' | 'url'>) {
    this.member = parts.member
    this.link = parts.link
    this.patroni = parts.patroni
    this.folder = parts.folder
    this.url = parts.url
  }

  get name(): string {
    return this.member.name
  }

  /** The address of its Patroni, without a slash at the end. */
  get restUrl(): string {
    return `https://${this.member.host}:${this.member.restPort}`
  }

  /** The postmaster, while there is one. */
  async postmasterPid(): Promise<number | undefined> {
    const file = join(this.member.places.data, 'postgres', 'postmaster.pid')
    const pid = Number((await readFile(file, 'utf8').catch(() => '')).split('\n')[0])
    return (await processesIn(this.folder)).includes(pid) ? pid : undefined
  }

  /** Ends Patroni, postmaster and all its children with -9, as the loss of the machine would. */
  async kill(): Promise<void> {
    await killIn(this.folder)
  }

  /**
   * Cuts replication from it, and kills it `goOnMs` later: what it acknowledges meanwhile is nowhere else. Its Patroni is frozen first, or it would
   * write into etcd that no standby is synchronous any more, and then nobody may take over.
   */
  async cutAndKill(goOnMs = 200): Promise<void> {
    this.patroni.freeze()
    this.link.goAway()
    await sleep(goOnMs)
    await this.kill()
  }

  /** Stops all of them in place. */
  async freeze(): Promise<void> {
    for (const pid of await processesIn(this.folder)) signal(pid, 'SIGSTOP')
  }

  async thaw(): Promise<void> {
    for (const pid of await processesIn(this.folder)) signal(pid, 'SIGCONT')
  }

  /** Starts Patroni again, which starts the rest. */
  async start(): Promise<void> {
    await this.patroni.start()
  }
}

/** One that ended between the look and the signal needs none. */
function signal(pid: number, name: 'SIGSTOP' | 'SIGCONT'): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
