import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chooseAccount } from '../../src/database/embedded-account.ts'
import { findProgram, installPackages, mayInstall } from './debian-packages.ts'
import { TimescaleServer } from './timescale-server.ts'

const BIN = '/usr/lib/postgresql/15/bin'

/** A PostgreSQL 15 of Debian's beside which pgBackRest works, in a folder of its own, with TimescaleDB where that is installed. */
export class ArchivedServer implements AsyncDisposable {
  readonly server: TimescaleServer
  /** That everything is in; others may pass through. */
  readonly folder: string
  readonly hasTimescale: boolean

  private constructor(server: TimescaleServer, folder: string, hasTimescale: boolean) {
    this.server = server
    this.folder = folder
    this.hasTimescale = hasTimescale
  }

  /** @throws Error that says what is not installed, and cannot be here. */
  static async start(): Promise<ArchivedServer> {
    await requirePackages()
    const folder = await mkdtemp(join(tmpdir(), 'nomaly-archived-'))
    await chmod(folder, 0o711)
    const sockets = join(folder, 's')
    await mkdir(sockets, { mode: 0o700 })
    const { uid, gid, switched } = await chooseAccount([])
    if (switched) await chown(sockets, uid, gid)
    const hasTimescale = existsSync('/usr/share/postgresql/15/extension/timescaledb.control')
    const server = await TimescaleServer.prepare(BIN, folder, {
      unix_socket_directories: sockets,
      ...(hasTimescale ? {} : { shared_preload_libraries: '' }),
    })
    const archived = new ArchivedServer(server, folder, hasTimescale)
    await archived.restart()
    return archived
  }

  /** Starts it, or starts it anew with everything that was written. */
  async restart(): Promise<void> {
    await this.server.stop()
    this.server.launch()
    if (!(await this.server.untilReady())) throw new Error('PostgreSQL 15 does not start.')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.stop()
    await this.server[Symbol.asyncDispose]()
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function requirePackages(): Promise<void> {
  const missing = [
    ...(existsSync(join(BIN, 'postgres')) ? [] : ['postgresql-15']),
    ...((await findProgram('pgbackrest')) === undefined ? ['pgbackrest'] : []),
  ]
  if (missing.length === 0) return
  if (!(await mayInstall()))
    throw new Error(`Install ${missing.join(' and ')} (apt-get install), which this test needs.`)
  await installPackages(missing)
}
